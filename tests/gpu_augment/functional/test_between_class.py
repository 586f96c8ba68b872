import librosa
import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import (
    a_weighted_loudness_db,
    a_weighting_db,
    between_class_mixup,
    blocks,
)

FLOAT64_ROUNDING_DB = 1e-9
FLOAT32_ROUNDING = 1e-5  # of an FFT, and of powers of ten
FLOAT32_ROUNDING_DB = 1e-4
LEAKAGE_DB = 0.1  # a tone spreads over a few bins, whose weights differ

LENGTHS, PARTNER_LENGTHS = torch.tensor([2000, 700, 0, 1, 2000]), torch.tensor([2000, 1300, 90, 0, 400])


def clips(seed: int) -> torch.Tensor:
    levels = torch.tensor([1.0, 0.1, 0.5, 1.0, 0.01])[:, None, None]
    return levels.roll(seed) * torch.randn(5, 2, 2000, generator=torch.Generator().manual_seed(seed))


def tone(frequency_hz: float, *, sample_rate: int = 44_100, seconds: float = 1.0) -> torch.Tensor:
    time = torch.arange(int(sample_rate * seconds), dtype=torch.float64) / sample_rate
    return torch.sin(2 * torch.pi * frequency_hz * time)[None, None]


def test_the_curve_is_librosas():
    frequency_hz = torch.linspace(1.0, 24_000.0, 5000, dtype=torch.float64)
    expected = librosa.A_weighting(frequency_hz.numpy(), min_db=None)
    np.testing.assert_allclose(a_weighting_db(frequency_hz), expected, rtol=0, atol=FLOAT64_ROUNDING_DB)


def test_the_curve_is_the_standards_table():
    nominal = {31.5: -39.4, 63: -26.2, 125: -16.1, 250: -8.6, 500: -3.2, 1000: 0.0, 2000: 1.2, 4000: 1.0, 8000: -1.1}
    tenths = np.round(10 * np.log10(np.array([*nominal]) / 1000))
    exact = 1000 * 10 ** (tenths / 10)  # the frequencies behind the names
    weighting = a_weighting_db(torch.from_numpy(exact))
    np.testing.assert_allclose(weighting, [*nominal.values()], rtol=0, atol=0.0501)  # it has one decimal


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("frequency_hz", [100.0, 440.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_is_as_loud_as_its_amplitude_and_the_curve_say(frequency_hz, sample_rate):
    loudness_db = a_weighted_loudness_db(0.1 * tone(frequency_hz, sample_rate=sample_rate), sample_rate=sample_rate)
    expected = -20 + librosa.A_weighting(np.array([frequency_hz]))[0]
    assert loudness_db.item() == pytest.approx(expected, abs=LEAKAGE_DB)


@pytest.mark.parametrize("with_lengths", [False, True])
def test_loudness_agrees_with_the_reference(with_lengths):
    waveform = clips(0)
    loudness_db = a_weighted_loudness_db(waveform, sample_rate=4000, lengths=LENGTHS if with_lengths else None)
    for clip in range(5):
        length = LENGTHS[clip].item() if with_lengths else 2000
        expected = reference.a_weighted_loudness_db(waveform[clip].double().numpy(), sample_rate=4000, length=length)
        assert loudness_db[clip].item() == pytest.approx(expected, abs=FLOAT32_ROUNDING_DB)


def test_loudness_is_that_of_the_loudest_moment():
    steady, event = 0.1 * tone(1000.0), torch.zeros(1, 1, 44_100, dtype=torch.float64)
    event[..., 20_000:30_000] = 0.1 * tone(1000.0)[..., 20_000:30_000]
    louder = a_weighted_loudness_db(torch.cat([steady, event]), sample_rate=44_100)
    assert louder[1].item() == pytest.approx(louder[0].item(), abs=LEAKAGE_DB)


def test_loudness_does_not_depend_on_how_far_a_clip_was_padded():
    short = clips(0)[:, :, :777]
    padded = torch.nn.functional.pad(short, (0, 500))
    lengths = torch.full((5,), 777)
    bare = a_weighted_loudness_db(short, sample_rate=4000)
    torch.testing.assert_close(a_weighted_loudness_db(padded, sample_rate=4000), bare)
    torch.testing.assert_close(a_weighted_loudness_db(clips(0), sample_rate=4000, lengths=lengths), bare)


def test_loudness_in_blocks_is_that_of_the_whole(monkeypatch):
    whole = a_weighted_loudness_db(clips(0), sample_rate=4000)
    monkeypatch.setattr(blocks, "CLIPS_BYTES", 1)
    torch.testing.assert_close(a_weighted_loudness_db(clips(0), sample_rate=4000), whole)


@pytest.mark.parametrize("shape", [(3, 1, 500), (3, 0, 500), (3, 1, 0), (0, 1, 500)])
def test_silence_has_a_floor(shape):
    assert a_weighted_loudness_db(torch.zeros(shape), sample_rate=4000).tolist() == [-140.0] * shape[0]


@pytest.mark.parametrize("with_lengths", [False, True])
def test_the_mixture_agrees_with_the_reference(with_lengths):
    ratio = torch.tensor([0.0, 0.2, 0.5, 0.9, 0.999], dtype=torch.float64)
    lengths = {"lengths": LENGTHS, "partner_lengths": PARTNER_LENGTHS} if with_lengths else {}
    mixed = between_class_mixup(clips(0), clips(1), ratio=ratio, sample_rate=4000, **lengths)
    for clip in range(5):
        expected = reference.between_class_mixup(
            clips(0)[clip].double().numpy(),
            clips(1)[clip].double().numpy(),
            ratio=ratio[clip].item(),
            sample_rate=4000,
            length=LENGTHS[clip].item() if with_lengths else 2000,
            partner_length=PARTNER_LENGTHS[clip].item() if with_lengths else 2000,
        )
        np.testing.assert_allclose(mixed[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
def test_both_clips_are_heard_in_the_ratio_whatever_their_levels_were(ratio):
    own, other = tone(1000.0), 0.003 * tone(150.0)  # 50 dB fainter, and the ear dulls another 13
    share = torch.tensor([ratio], dtype=torch.float64)
    # What is left of each in the mixture: its projection on it.
    mixed = between_class_mixup(own, other, ratio=share, sample_rate=44_100)
    of_own, of_other = ((mixed * part).sum() / (part * part).sum() * part for part in (own, other))
    heard_db = [a_weighted_loudness_db(part, sample_rate=44_100).item() for part in (of_own, of_other)]
    assert heard_db[0] - heard_db[1] == pytest.approx(20 * np.log10(ratio / (1 - ratio)), abs=LEAKAGE_DB)


def test_equally_loud_uncorrelated_clips_keep_their_energy():
    loud = [torch.randn(1, 1, 200_000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    mixed = between_class_mixup(*loud, ratio=torch.tensor([0.5]), sample_rate=44_100)
    assert mixed.square().mean().item() == pytest.approx(1.0, abs=0.02)


def test_beside_silence_the_ratio_is_the_weight_and_silence_stays_silent():
    loud, silent, ratio = clips(0)[:1], torch.zeros(1, 2, 2000), torch.tensor([0.25])
    norm = (0.25**2 + 0.75**2) ** 0.5
    for own, other, weight in [(loud, silent, 0.25), (silent, loud, 0.75)]:
        mixed = between_class_mixup(own, other, ratio=ratio, sample_rate=4000)
        torch.testing.assert_close(mixed, loud * weight / norm)
    assert torch.equal(between_class_mixup(silent, silent, ratio=ratio, sample_rate=4000), silent)


def test_at_the_ends_one_clip_comes_out_exactly():
    ends = torch.tensor([0.0, 1.0])
    mixed = between_class_mixup(clips(0)[:2], clips(1)[:2], ratio=ends, sample_rate=4000)
    assert torch.equal(mixed, torch.stack([clips(1)[0], clips(0)[1]]))


def test_gradients_of_silence_are_finite():
    silence = torch.zeros(2, 1, 500, requires_grad=True)
    between_class_mixup(silence, silence, ratio=torch.tensor([0.0, 0.5]), sample_rate=4000).sum().backward()
    assert torch.isfinite(silence.grad).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"partners: got \(5, 1, 2000\), must be like waveform, \(5, 2, 2000\)"):
        between_class_mixup(clips(0), clips(1)[:, :1], ratio=torch.ones(5), sample_rate=4000)
    with pytest.raises(ShapeError, match=r"waveform: got \(5, 2000\)"):
        a_weighted_loudness_db(clips(0)[:, 0], sample_rate=4000)
