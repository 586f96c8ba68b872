"""What an effect must have done to a batch before it is timed: the same as to its clips one by one, and not nothing."""

from collections.abc import Callable

import torch
from torch import Tensor

from tonearm.gpu_augment import Augmentation, Augmented, PairEffect
from tonearm.seeding import torch_generator

NUM_CHECKED = 4  # clips of the batch, of those that an effect touches, that are also augmented one by one
NUM_TWINS = 16  # equal clips, which must not all come out equal
SAME_DIRECTION = 0.99  # cosine between what was done to two clips; the same noise at another level has 1
TOLERANCE = 1e-4  # of the clip's largest value: a single clip may take another FFT or another order of summing
SUM_TOLERANCE = 1e-5  # of a clip's mixed targets, float32, which sum to 1


def augment(
    effect: Augmentation,
    batch: Tensor,
    targets: Tensor | None = None,
    *,
    apply: Callable[..., Tensor | Augmented] | None = None,
) -> Tensor:
    """Sample and apply, or have something else apply what was sampled."""
    params = effect.sample(len(batch), batch.shape[-1], device=batch.device)
    changed = (apply or effect.apply)(batch, params, None, targets)
    return changed.waveform if isinstance(changed, Augmented) else changed


def mixes(effect: Augmentation) -> bool:
    """Whether it mixes clips of a batch with each other, so that it needs targets and a clip alone is no clip."""
    return any(isinstance(part, PairEffect) for part in effect.modules())


def difference_from_singles(effect: Augmentation, batch: Tensor, *, seed: int = 0) -> str | None:
    """What a batch came out as that its clips, augmented one by one with the same parameters, did not; None if nothing.

    A batch's parameters are drawn clip after clip, so single clips drawn from an equal generator get the same ones. The
    clips compared are the first, and the first few that each effect touches.
    """
    generator = torch_generator("bench augment", seed)
    params = effect.sample(len(batch), batch.shape[-1], device=batch.device, generator=generator)
    together = effect.apply(batch, params)
    touched = {place for step in params.steps for place in step.clips[:NUM_CHECKED].tolist()}
    generator = torch_generator("bench augment", seed)
    for place in range(len(batch)):
        own = effect.sample(1, batch.shape[-1], device=batch.device, generator=generator)
        if place not in touched | {0}:
            continue
        (alone,) = effect.apply(batch[place : place + 1], own)
        largest = together[place].abs().max().item()
        difference = (together[place] - alone).abs().max().item()
        if not difference <= TOLERANCE * largest:  # not >, so that NaN is found
            return f"clip {place} of the batch is {difference:.3g} off what it is alone; its largest is {largest:.3g}."
    return None


def idleness(
    effect: Augmentation, clip: Tensor, *, every_time: bool = True, apart: bool = True, seed: int = 0
) -> str | None:
    """What an effect at p = 1 fails to do to copies of a clip; None if it changes them, not all in the same way.

    Args:
        effect: one effect.
        clip: (channel, …).
        every_time: whether each copy must change; a mask may by chance have no width.
        apart: whether the changes must not all have the same direction; a reversal's have.
        seed: of the parameters.
    """
    twins = torch.stack([clip] * NUM_TWINS)
    generator = torch_generator("bench augment", "twins", seed)
    changed = effect.apply(twins, effect.sample(NUM_TWINS, clip.shape[-1], device=clip.device, generator=generator))
    if changed.shape != twins.shape:  # the change itself is nothing that could be subtracted
        same = not every_time or not apart or any(not torch.equal(changed[0], other) for other in changed[1:])
        return None if same else f"it does the same to all of {NUM_TWINS} equal clips."
    change = (changed - twins).flatten(1)
    size = torch.linalg.vector_norm(change, dim=1, keepdim=True)
    idle = int((size == 0).sum())
    if idle > (0 if every_time else NUM_TWINS - 1):
        return f"at p = 1 it leaves {idle} of {NUM_TWINS} clips as they were."
    direction = change / size.clamp(min=torch.finfo(size.dtype).tiny)
    if apart and (direction @ direction.T > SAME_DIRECTION).all():
        return f"it does the same to all of {NUM_TWINS} equal clips."
    return None


def mixing_fault(effect: Augmentation, batch: Tensor, targets: Tensor, *, always: bool, seed: int = 0) -> str | None:
    """What is wrong with a batch whose clips were mixed with each other; None if nothing.

    Args:
        effect: it mixes.
        batch: (batch, channel, time).
        targets: (batch, batch), each clip a class of its own.
        always: whether each clip must come out mixed.
        seed: of the parameters.
    """
    generator = torch_generator("bench augment", seed)
    params = effect.sample(len(batch), batch.shape[-1], device=batch.device, generator=generator)
    mixed = effect.apply(batch, params, None, targets)
    if not isinstance(mixed, Augmented) or mixed.targets is None:
        return "it returns no targets."
    if not mixed.waveform.isfinite().all():
        return "a sample is not finite."
    if not ((mixed.targets.sum(1) - 1).abs() <= SUM_TOLERANCE).all():
        return "a clip's targets do not sum to 1."
    same_shape = mixed.waveform.shape == batch.shape  # a chain may crop as well
    idle = int((mixed.waveform == batch).flatten(1).all(1).sum()) if same_shape else 0
    if always and idle:
        return f"at p = 1 it leaves {idle} of {len(batch)} clips as they were."
    kept = int((mixed.targets == targets).all(1).sum())
    if always and kept:
        return f"at p = 1 it leaves the targets of {kept} of {len(batch)} clips as they were."
    return None
