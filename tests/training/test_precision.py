"""Which precision a run computes in."""

import pytest
import torch

from tonearm.config import TrainConfig
from tonearm.errors import RequestError
from tonearm.training.precision import resolve_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def test_auto_is_fp32_on_a_cpu_and_fp16_on_a_gpu() -> None:
    assert str(resolve_precision(TrainConfig(), CPU)) == "fp32 channels_last"
    assert str(resolve_precision(TrainConfig(channels_last=False), GPU)) == "fp16 contiguous"


def test_what_the_device_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="fp16 needs a GPU; on a CPU it may be fp32 or bf16"):
        resolve_precision(TrainConfig(precision="fp16"), CPU)
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation  # as on a GTX 1660 Super, which has bf16 by emulation alone

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GTX 1660 SUPER")
    with pytest.raises(RequestError, match="GTX 1660 SUPER has no bf16 hardware"):
        resolve_precision(TrainConfig(precision="bf16"), GPU)
    assert asked == [False]


def test_autocast_and_layout_on_a_cpu() -> None:
    precision = resolve_precision(TrainConfig(precision="bf16"), CPU)
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with resolve_precision(TrainConfig(), CPU).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert precision.lay_out(torch.ones(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)
    assert not precision.scaler().is_enabled()
