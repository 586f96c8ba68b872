import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, frequency_mask, spec_augment, time_mask

FLOAT32_ROUNDING = 1e-6

BANDS = {
    "freq_start": torch.tensor([[0, 5], [3, 3], [0, 9]]),
    "freq_width": torch.tensor([[2, 3], [0, 1], [10, 1]]),
    "time_start": torch.tensor([[4], [0], [19]]),
    "time_width": torch.tensor([[7], [0], [1]]),
}


def maps() -> torch.Tensor:
    return torch.randn(3, 2, 10, 20, generator=torch.Generator().manual_seed(0)) - 40


def spans(axis: str, clip: int) -> list[tuple[int, int]]:
    return list(zip(BANDS[f"{axis}_start"][clip].tolist(), BANDS[f"{axis}_width"][clip].tolist(), strict=True))


@pytest.mark.parametrize("fill", ["mean", 0.0])
def test_it_agrees_with_the_reference(fill):
    specgram = maps()
    covered = spec_augment(specgram, **BANDS, fill=fill)
    for clip in range(3):
        expected = reference.spec_augment(
            specgram[clip].double().numpy(), mel_spans=spans("freq", clip), time_spans=spans("time", clip), fill=fill
        )
        np.testing.assert_allclose(covered[clip], expected, rtol=FLOAT32_ROUNDING, atol=0)


@pytest.mark.parametrize("fill", ["mean", 0.0])
def test_slices_on_a_cpu_give_what_one_mask_gives(fill, monkeypatch):
    slices = spec_augment(maps(), **BANDS, fill=fill)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(slices, spec_augment(maps(), **BANDS, fill=fill))


def test_with_a_value_it_is_one_mask_after_the_other_and_with_the_mean_it_is_not():
    def after_each_other(fill):
        bins = frequency_mask(maps(), start=BANDS["freq_start"], width=BANDS["freq_width"], fill=fill)
        return time_mask(bins, start=BANDS["time_start"], width=BANDS["time_width"], fill=fill)

    assert torch.equal(spec_augment(maps(), **BANDS, fill=-80.0), after_each_other(-80.0))
    together, apart = spec_augment(maps(), **BANDS), after_each_other("mean")
    assert torch.equal(together != maps(), apart != maps())  # the same cells
    assert not torch.equal(together[0], apart[0])


def test_a_waveform_is_refused():
    with pytest.raises(ShapeError, match=r"specgram: got \(3, 1, 10\) .* must be \(batch, channel, mel, time\)"):
        spec_augment(torch.zeros(3, 1, 10), **BANDS)
