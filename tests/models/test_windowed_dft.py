"""The window, the transform as a convolution, and the exported front-end that is made of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.export import Dim, export
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.models import LogMel
from tonearm.models.windowed_dft import Window, centred_window, windowed_dft

# A sum of n_fft products in float32 rounds more than a fast transform does.
DECIBEL_TOLERANCE = 1e-3


@pytest.mark.parametrize(("name", "reference"), [("hann", torch.hann_window), ("hamming", torch.hamming_window)])
@pytest.mark.parametrize(("win_length", "n_fft"), [(400, 400), (400, 512), (33, 64)])
def test_windows_are_torchs(name: Window, reference: Any, win_length: int, n_fft: int) -> None:
    window = torch.from_numpy(centred_window(name, win_length=win_length, n_fft=n_fft))
    before = (n_fft - win_length) // 2
    expected = functional.pad(reference(win_length, dtype=torch.float64), (before, n_fft - win_length - before))
    torch.testing.assert_close(window, expected)


@pytest.mark.parametrize("n_fft", [64, 63, 1380])
def test_the_rows_are_the_transform(n_fft: int) -> None:
    window = centred_window("hann", win_length=n_fft, n_fft=n_fft)
    bins = range(3, n_fft // 2)
    frames = torch.randn(5, 1, n_fft, generator=torch.Generator().manual_seed(0))
    rows = windowed_dft(window, bins=bins)
    assert (rows.shape, rows.dtype) == ((2 * len(bins), 1, n_fft), torch.float32)
    got = functional.conv1d(frames, rows)[..., 0].double()
    expected = np.fft.rfft(frames[:, 0].double().numpy() * window)[:, bins.start : bins.stop]
    torch.testing.assert_close(got[:, : len(bins)], torch.from_numpy(expected.real), rtol=0, atol=1e-4)
    torch.testing.assert_close(got[:, len(bins) :], torch.from_numpy(expected.imag), rtol=0, atol=1e-4)


def noise(*shape: int) -> Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "zeros", "power": 1, "mel_scale": "slaney", "mel_norm": "area", "f_min": 300},
        {"padding": "none", "log": "ln", "offset": 1e-3, "window": "hamming", "f_max": 5000},
    ],
)
def test_an_exported_front_end_takes_any_batch_and_length(options: dict[str, Any], strict: bool) -> None:
    config = FeaturesConfig(n_fft=512, win_length=400, hop_length=160, n_mels=32).model_copy(update=options)
    log_mel = LogMel(config, sample_rate=16_000)
    log_mel.set_normalization(torch.linspace(-40, 0, 32), 10.0)
    lengths = {0: Dim("batch"), 2: Dim("time", min=log_mel.samples(2))}
    program = export(log_mel, (noise(2, 1, 8000),), dynamic_shapes={"waveform": lengths}, strict=strict)
    exported = program.module()
    for shape in ((1, 1, log_mel.samples(2)), (3, 1, 12_345)):
        got, expected = exported(noise(*shape)), log_mel(noise(*shape))
        assert got.shape == expected.shape
        torch.testing.assert_close(got, expected, rtol=0, atol=DECIBEL_TOLERANCE / 10)  # the deviation is 10 dB
    assert exported(torch.zeros(1, 1, 8000)).equal(log_mel(torch.zeros(1, 1, 8000)))
    values = [node.meta.get("val") for node in program.graph.nodes]
    assert not any(value.is_complex() for value in values if isinstance(value, Tensor))
    made = {name for name in program.state_dict if name not in ("mean", "std")}
    assert not made  # the rows are a constant of the graph: no checkpoint has them
    assert set(log_mel.state_dict()) == {"mean", "std"}
    assert set(dict(log_mel.named_buffers())) == {"mean", "std", "window", "filters"}


def test_an_exported_front_end_of_two_channels_in_half_precision() -> None:
    log_mel = LogMel(FeaturesConfig(n_fft=256, win_length=256, hop_length=64, n_mels=16), sample_rate=8000)
    waveform = noise(2, 2, 3000).half()
    exported = export(log_mel, (waveform,)).module()
    torch.testing.assert_close(exported(waveform), log_mel(waveform), rtol=0, atol=DECIBEL_TOLERANCE)
