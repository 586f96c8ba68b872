import pytest
import torch
from torch import Tensor

from tonearm.benchmarks.augment_checks import augment, difference_from_singles, idleness, mixes, mixing_fault
from tonearm.gpu_augment import Chain, Crop, Noise, PairEffect, Reverb, TimeMasking
from tonearm.seeding import torch_generator


class LeaksAcrossTheBatch(Noise):
    """Noise that also lets the first clip of a batch be heard in the others."""

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return super().effect(clips, parameters, lengths) + 0.01 * clips[:1]


class Nan(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return clips * torch.nan


def noise_batch(batch_size: int, num_samples: int = 1000) -> Tensor:
    return torch.rand(batch_size, 1, num_samples, generator=torch_generator("test"))


def test_a_batch_that_is_not_the_stack_of_its_clips_is_found() -> None:
    batch = noise_batch(3)
    assert difference_from_singles(Noise(p=1.0), batch) is None
    assert "clip 1 of the batch is" in str(difference_from_singles(LeaksAcrossTheBatch(p=1.0), batch))
    assert "clip 0 of the batch is nan off" in str(difference_from_singles(Nan(p=1.0), batch))


def test_the_clips_checked_are_those_that_an_effect_touches() -> None:
    for effect in (LeaksAcrossTheBatch(p=0.05), Nan(p=0.05)):
        # the first effect touches other clips than the second
        complaint = difference_from_singles(Chain([Noise(p=0.1), effect]), noise_batch(64))
        assert "of the batch is" in str(complaint)


def test_a_mask_may_by_chance_have_no_width_but_not_always() -> None:
    specgram = torch.rand(1, 16, 40, generator=torch_generator("test"))
    narrow = TimeMasking(1, p=1.0)
    assert "it leaves" in str(idleness(narrow, specgram))
    assert idleness(narrow, specgram, every_time=False) is None
    assert "leaves 16 of 16" in str(idleness(TimeMasking(0, p=1.0), specgram, every_time=False))


def test_effects_of_one_level_only_are_not_idle() -> None:
    clip = noise_batch(1, 4000)[0]
    room = Reverb(p=1.0, sample_rate=8000, min_rt60_seconds=0.3, max_rt60_seconds=0.3, min_drr_db=5.0, max_drr_db=5.0)
    for effect in (Noise(p=1.0, min_snr_db=20.0, max_snr_db=20.0), room):
        assert idleness(effect, clip) is None


class Negative(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return -clips


def test_an_effect_that_does_the_same_to_all_must_say_so() -> None:
    clip = noise_batch(1)[0]
    assert "the same to all of 16" in str(idleness(Negative(p=1.0), clip))
    assert idleness(Negative(p=1.0), clip, apart=False) is None


def test_crops_are_compared_with_each_other() -> None:
    clip = noise_batch(1)[0]
    assert idleness(Crop(500), clip) is None
    assert "the same to all of 16" in str(idleness(Crop(500), torch.zeros_like(clip)))


class Half(PairEffect):
    """The mean of both."""

    num_parameter_draws = 0
    share = 0.5
    gain = 1.0

    def __init__(self, p: float) -> None:
        super().__init__(p, None)

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        return uniforms

    def mix(
        self,
        clips: Tensor,
        partners: Tensor,
        parameters: Tensor,
        lengths: Tensor | None,
        partner_lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        mixed = self.gain * torch.lerp(clips, partners, self.share)
        return mixed, torch.full((len(clips),), self.share, device=clips.device)


class None_(Half):
    share = 0.0


class Loud(Half):
    gain = torch.inf


class Unlabelled(Half):
    """Mixes and says that it did not."""

    def mix(self, *given: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed, share = super().mix(*given)  # type: ignore[arg-type]
        return mixed, 0 * share


@pytest.mark.parametrize(
    ("effect", "complaint"),
    [
        (Half(1.0), None),
        (None_(1.0), "at p = 1 it leaves 3 of 3 clips as they were."),
        (Loud(1.0), "a sample is not finite."),
        (Unlabelled(1.0), "at p = 1 it leaves the targets of 3 of 3 clips as they were."),
    ],
)
def test_clips_must_be_mixed_with_each_other_and_their_targets_too(effect: Half, complaint: str | None) -> None:
    assert mixes(effect)
    assert mixes(Chain([Noise(1.0), effect]))
    assert not mixes(Noise(1.0))
    assert mixing_fault(effect, noise_batch(3), torch.eye(3), always=True) == complaint


def test_at_its_own_p_a_clip_may_stay_unmixed() -> None:
    assert mixing_fault(Half(0.0), noise_batch(3), torch.eye(3), always=False) is None


def test_something_else_can_apply_what_was_sampled() -> None:
    given: list[object] = []
    effect, batch = Noise(1.0), noise_batch(2)

    def apply(*arguments: object) -> Tensor:
        given.extend(arguments)
        return batch

    assert augment(effect, batch, apply=apply) is batch
    assert given[0] is batch
    assert given[2:] == [None, None]
