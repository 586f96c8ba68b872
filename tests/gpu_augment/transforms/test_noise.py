"""What the noise modules draw, and what they refuse."""

import copy

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.functional import add_noise
from tonearm.gpu_augment.functional.colored_noise import COLORS, colored_noise
from tonearm.gpu_augment.functional.noise_tape import add_tape_noise, noise_tape
from tonearm.gpu_augment.functional.sine_hum import add_sine_hum
from tonearm.gpu_augment.transforms.noise import BackgroundNoise, GaussianNoise, Noise, SineHum

CLIPS = 4000
SNR_TOLERANCE_DB = 0.05
FLOAT32_ROUNDING = 4e-6


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether the values look uniform between low and high."""
    quantiles = torch.quantile((values - low) / (high - low), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).double())
    return bool((quantiles - torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).abs().max() < 0.04 and quantiles[0] >= 0)


def bank(*sizes: int) -> SoundBank:
    return SoundBank([torch.randn(size, generator=seeded(size)) for size in sizes], sample_rate=8000, name="made")


def waveform(clips: int = 6, samples: int = 3000) -> torch.Tensor:
    return torch.randn(clips, 2, samples, generator=seeded(1))


def measured_snr_db(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    added = noisy.double() - clean.double()
    return 10 * (clean.double().square().sum(dim=(1, 2)) / added.square().sum(dim=(1, 2))).log10()


EFFECTS = {
    "fresh": lambda **kw: Noise(1.0, 3.0, 9.0, **kw),
    "brown": lambda **kw: Noise(1.0, 3.0, 9.0, "brown", **kw),
    "tape": lambda **kw: Noise(1.0, 3.0, 9.0, "pink", 1 << 16, **kw),
    "background": lambda **kw: BackgroundNoise(bank(500, 9000), 1.0, min_snr_db=3.0, max_snr_db=9.0, **kw),
    "hum": lambda **kw: SineHum(1.0, sample_rate=8000, min_snr_db=3.0, max_snr_db=9.0, **kw),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_ratios_are_uniform_in_db_and_kept(name):
    effect = EFFECTS[name]()
    params = effect.sample(CLIPS, 100, generator=seeded(0))
    column = 2 if name == "hum" else 1
    assert spans(params.steps[0].rows[:, column], 3.0, 9.0)
    clean = waveform(50)
    params = effect.sample(50, 3000, generator=seeded(2))
    asked = params.steps[0].rows[:, column]
    assert (measured_snr_db(clean, effect.apply(clean, params)) - asked).abs().max() < SNR_TOLERANCE_DB


def test_fresh_noise_is_its_function_with_the_columns_it_drew():
    clean = waveform()
    for color in COLORS:
        effect = Noise(1.0, -5.0, 12.0, color)
        params = effect.sample(6, 3000, generator=seeded(2))
        snr_db, first_key, second_key = params.steps[0].rows[:, 1:].unbind(1)
        keys = torch.stack([first_key, second_key], dim=1).to(torch.int32)
        expected = add_noise(clean, colored_noise(keys, color=color, num_channels=2, num_samples=3000), snr_db=snr_db)
        assert torch.equal(effect.apply(clean, params), expected)


def test_noise_from_a_tape_is_its_function_with_the_columns_it_drew():
    clean, effect = waveform(), Noise(1.0, -5.0, 12.0, "blue", 1 << 14)
    params = effect.sample(6, 3000, generator=seeded(2))
    snr_db, offset = params.steps[0].rows[:, 1:].unbind(1)
    tape = noise_tape(1 << 14, color="blue")
    assert torch.equal(effect.tape, tape)
    assert torch.equal(effect.apply(clean, params), add_tape_noise(clean, tape, offset=offset.long(), snr_db=snr_db))


def test_places_on_the_tape_are_whole_and_anywhere():
    offset = drawn(Noise(1.0, tape_samples=1 << 16))[:, 1]
    assert spans(offset, 0, 1 << 16) and torch.equal(offset, offset.floor())


def test_the_tape_is_not_saved_and_moves_with_the_module():
    effect = Noise(1.0, color="pink", tape_samples=1 << 14)
    assert list(effect.state_dict()) == ["_extra_state"]
    with pytest.raises(ShapeError, match=r"samples: on meta, but the batch is on cpu"):
        copy.deepcopy(effect).to("meta")(waveform())
    assert Noise(1.0).tape is None


def test_hum_is_its_function_with_the_columns_it_drew():
    clean, effect = waveform(), SineHum(1.0, sample_rate=8000, min_frequency_hz=100, max_frequency_hz=200)
    rows = drawn(effect)
    assert spans(rows[:, 0], 100, 200) and spans(rows[:, 1], 30, 35) and spans(rows[:, 2], 0, 1)
    params = effect.sample(6, 3000, generator=seeded(2))
    frequency_hz, snr_db, phase = params.steps[0].rows[:, 1:].unbind(1)
    expected = add_sine_hum(clean, cycles_per_sample=frequency_hz / 8000, phase=phase, snr_db=snr_db)
    assert torch.equal(effect.apply(clean, params), expected)


def test_gaussian_noise_has_the_deviation_it_drew_whatever_the_clip():
    clean = waveform(200) * torch.logspace(-6, 0, 200)[:, None, None]
    clean[7] = 0
    effect = GaussianNoise(1.0, min_deviation=0.01, max_deviation=0.1)
    params = effect.sample(200, 3000, generator=seeded(2))
    deviation = params.steps[0].rows[:, 1]
    assert spans(drawn(effect)[:, 0], 0.01, 0.1)
    added = effect.apply(clean, params).double() - clean.double()
    # 5 deviations of the root mean square of 6000 numbers
    assert (added.square().mean(dim=(1, 2)).sqrt() / deviation - 1).abs().max() < 5 / (2 * 6000) ** 0.5
    assert added[7].std() > 0.009  # silence does not stay silence
    assert (torch.corrcoef(added.flatten(1)[:40]) - torch.eye(40)).abs().max() < 5.5 / 6000**0.5
    assert torch.equal(GaussianNoise(1.0, min_deviation=0, max_deviation=0)(clean), clean)


def test_gaussian_noise_leaves_padding_alone():
    clean, lengths = waveform(), torch.tensor([3000, 2000, 10, 1, 0, 3000])
    noisy = GaussianNoise(1.0)(clean, lengths).waveform
    for clip, end in enumerate(lengths.tolist()):
        assert torch.equal(noisy[clip, :, end:], clean[clip, :, end:])
        assert end == 0 or not torch.equal(noisy[clip, :, :end], clean[clip, :, :end])


def test_background_sounds_are_all_as_likely_and_begin_anywhere_they_fit():
    rows = drawn(BackgroundNoise(bank(50, 5000, 9000), 1.0))
    assert torch.bincount(rows[:, 1].long()).tolist() == pytest.approx([CLIPS / 3] * 3, rel=0.1)
    assert spans(rows[:, 2], 0, 1)


def test_a_long_background_is_cut_where_it_fits_and_a_short_one_looped():
    sounds = bank(100, 250)
    clean = waveform(300, 240)
    effect = BackgroundNoise(sounds, 1.0, min_snr_db=0.0, max_snr_db=0.0)
    params = effect.sample(300, 240, generator=seeded(2))
    added = effect.apply(clean, params) - clean
    starts: dict[int, set[int]] = {0: set(), 1: set()}
    for clip, number in enumerate(params.steps[0].rows[:, 2].long().tolist()):
        sound = sounds.samples[:100] if number == 0 else sounds.samples[100:]
        excerpts = sound.repeat(4).unfold(0, 240, 1)[: len(sound)]
        correlation = excerpts @ added[clip, 0] / excerpts.norm(dim=1) / added[clip, 0].norm()
        assert correlation.max() > 1 - 1e-5
        starts[number].add(int(correlation.argmax()))
        torch.testing.assert_close(added[clip, 0], added[clip, 1], rtol=0, atol=FLOAT32_ROUNDING)  # channels alike
    assert max(starts[0]) > 90 and min(starts[0]) < 10
    assert starts[1] == set(range(11))  # 250 - 240 + 1 places, none over the sound's end


def test_effects_share_a_bank_and_refuse_one_that_is_elsewhere():
    sounds = bank(50)
    assert BackgroundNoise(sounds).bank is sounds
    with pytest.raises(ShapeError, match=r"bank: on meta, but the batch is on cpu"):
        BackgroundNoise(copy.deepcopy(sounds).to("meta"), 1.0)(waveform())


def test_a_tape_too_short_for_the_clips_is_refused():
    with pytest.raises(ShapeError, match=r"tape: 4096 samples, fewer than the 2 x 3000 of a clip"):
        Noise(1.0, tape_samples=4096)(waveform())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(color="red"), r"color: got 'red', may be 'white', 'pink', 'brown', 'blue', 'violet'"),
        (lambda: Noise(color=None), r"color: got None, may be 'white'"),
        (lambda: Noise(0.5, 10.0, 5.0), r"min_snr_db, max_snr_db: got 10.0 and 5.0"),
        (lambda: Noise(tape_samples=100), r"tape_samples: got 100, may be 0 for none, or a whole number, 4096 or more"),
        (lambda: Noise(tape_samples=True), r"tape_samples: got True, may be 0 for none"),
        (lambda: Noise(tape_samples=None), r"tape_samples: got None, may be 0 for none"),
        (lambda: Noise(tape_samples=5000.5), r"tape_samples: got 5000.5, may be 0 for none"),
        (lambda: GaussianNoise(min_deviation=-0.1), r"min_deviation: got -0.1, may be 0 or more"),
        (lambda: GaussianNoise(min_deviation=0.2), r"min_deviation, max_deviation: got 0.2 and 0.01"),
        (lambda: GaussianNoise(max_deviation="x"), r"min_deviation, max_deviation: got 0.01 and 'x'"),
        (lambda: BackgroundNoise([torch.ones(3)]), r"bank: got a list, may be a SoundBank"),
        (lambda: BackgroundNoise(bank(5), min_snr_db=40), r"min_snr_db, max_snr_db: got 40 and 30.0"),
        (lambda: SineHum(sample_rate=0), r"sample_rate: got 0, may be a whole number, 1 Hz or more"),
        (lambda: SineHum(sample_rate=100), r"got 45.0 and 65.0, may be more than 0 and less than half .* 50 Hz"),
        (lambda: SineHum(sample_rate=8000, min_frequency_hz=0), r"got 0 and 65.0, may be more than 0"),
        (lambda: SineHum(sample_rate=8000, min_frequency_hz=70), r"min_frequency_hz, max_frequency_hz: got 70 and 65"),
        (lambda: SineHum(sample_rate=8000, max_snr_db=None), r"min_snr_db, max_snr_db: got 30.0 and None"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
