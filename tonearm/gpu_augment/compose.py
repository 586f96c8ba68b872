"""Augmentations made of augmentations: one after the other, one of several, some of several."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_share, is_number, is_whole
from tonearm.gpu_augment.core import Augmentation, Augmented
from tonearm.gpu_augment.params import Step


class Chain(Augmentation):
    """One augmentation after the other, all drawn from one generator and sent to the device in one copy.

    The members' own generators, also such as were given to them, are neither used nor saved: give one to the chain. A
    member in ``eval()`` mode is passed over.

    Args:
        effects: augmentations, chains among them, in the order in which they run.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: a member is no augmentation.

    Example:
        >>> from tonearm.gpu_augment import Chain, Noise, TimeShiftStretch
        >>> chain = Chain([TimeShiftStretch(p=0.5), Noise(p=0.3)])
        >>> chain(torch.zeros(8, 1, 44_100)).shape
        torch.Size([8, 1, 44100])
    """

    num_own_draws = 0

    def __init__(self, effects: Sequence[Augmentation], *, generator: torch.Generator | None = None) -> None:
        super().__init__(generator)
        if not isinstance(effects, Iterable):
            raise RequestError(f"effects: got a {type(effects).__name__}, may be a list of augmentations.")
        effects = list(effects)  # an iterator could be read only once
        for effect in effects:
            if not isinstance(effect, Augmentation):
                raise RequestError(
                    f"effects: got a {type(effect).__name__}, may be augmentations; "
                    f"derive one of your own from ClipEffect."
                )
            effect._in_a_chain = True
        self.effects = nn.ModuleList(effects)

    @property
    def num_draws(self) -> int:
        """Those of all members, after its own."""
        return self.num_own_draws + sum(effect.num_draws for effect in self._members())

    def _members(self) -> list[Augmentation]:
        return cast("list[Augmentation]", list(self.effects))  # __init__ lets nothing else in

    def _effects_in_order(self) -> list[str]:
        return [name for effect in self._members() for name in effect._effects_in_order()]

    def _keeps_shape(self) -> bool:
        return all(effect._keeps_shape() for effect in self._members())

    def _allowed_to_each(self, own: Tensor, allowed: Tensor) -> Tensor:
        """(members, batch) bool: which of the allowed clips each member may touch, by one's own uniform numbers."""
        return allowed.expand(len(self.effects), -1)

    def _steps(self, uniforms: Tensor, allowed: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        members = self._members()
        own, *draws = torch.split(uniforms, [self.num_own_draws, *(effect.num_draws for effect in members)], dim=1)
        clips = self._allowed_to_each(own, allowed if self.training else torch.zeros_like(allowed))
        return [
            step
            for effect, draw, its_clips in zip(members, draws, clips, strict=True)
            for step in effect._steps(draw, its_clips, gather_sizes)
        ]

    def _check_layout(self, waveform: Tensor) -> None:
        for effect in self._members():
            effect._check_layout(waveform)

    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        for effect in self._members():
            batch = effect._run(batch, steps, given=given)
        return batch


class _Choice(Chain):
    """Members of which each clip gets its own selection."""

    def __init__(self, effects: Sequence[Augmentation], p: float, generator: torch.Generator | None) -> None:
        super().__init__(effects, generator=generator)
        check_share("p", p)
        if not len(self.effects):
            raise RequestError("effects: got none, may be one augmentation or more.")
        for effect in self._members():
            if not effect._keeps_shape():
                raise RequestError(
                    f"effects: got {type(effect).__name__}, which changes the shape of the batch, so that it cannot be "
                    f"chosen for some clips alone. Put it beside this one, into a Chain."
                )
        self.p = p


class OneOf(_Choice):
    """One of several augmentations, chosen for each clip by itself; give the members p=1.

    The member that is chosen still asks its own ``p``: at the default, 0.5, half of the chosen clips stay as they are.

    Args:
        effects: augmentations, compositions among them.
        p: probability of a clip to get one at all.
        weights: how often each is chosen, relative to the others. None: equally often.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: no member, or one that is no augmentation or changes the batch's shape; weights that do not fit.

    Example:
        >>> from tonearm.gpu_augment import Noise, OneOf, Reverb
        >>> one = OneOf([Noise(1.0), Reverb(1.0, sample_rate=16_000)], p=0.8, weights=[2, 1])
        >>> one(torch.zeros(8, 1, 16_000)).shape
        torch.Size([8, 1, 16000])
    """

    num_own_draws = 2

    def __init__(
        self,
        effects: Sequence[Augmentation],
        p: float = 1.0,
        *,
        weights: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(effects, p, generator)
        if weights is not None and not (
            isinstance(weights, Sequence)
            and len(weights) == len(self.effects)
            and all(is_number(weight) and 0 <= weight < float("inf") for weight in weights)
            and 0 < sum(map(float, weights)) < float("inf")
        ):
            raise RequestError(
                f"weights: got {weights!r}, may be {len(self.effects)} finite numbers, one a member, 0 or more, "
                f"whose sum is finite and not 0."
            )
        self.weights = None if weights is None else tuple(weights)

    def _allowed_to_each(self, own: Tensor, allowed: Tensor) -> Tensor:
        weights = [1.0] * len(self.effects) if self.weights is None else self.weights
        ends = torch.tensor(weights, dtype=torch.float64, device="cpu").cumsum(0)
        # The first member whose share of the line ends beyond the clip's place on it.
        chosen = torch.searchsorted(ends, own[:, 1] * ends[-1], right=True)
        return (chosen == torch.arange(len(self.effects), device="cpu")[:, None]) & (own[:, 0] < self.p) & allowed


class SomeOf(_Choice):
    """Several of the augmentations, each clip with its own selection, in the order of the list; give the members p=1.

    How many is uniform from ``min_effects`` to ``max_effects``; which ones, without repeats, equally likely. A member
    that is chosen still asks its own ``p``.

    Args:
        effects: augmentations, compositions among them.
        p: probability of a clip to get any.
        min_effects: fewest.
        max_effects: most. None: all.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: no member, or one that is no augmentation or changes the batch's shape; counts that do not fit.

    Example:
        >>> from tonearm.gpu_augment import Noise, SomeOf, TimeShiftStretch
        >>> some = SomeOf([TimeShiftStretch(1.0), Noise(1.0)], min_effects=1, max_effects=2)
        >>> some(torch.zeros(8, 1, 16_000)).shape
        torch.Size([8, 1, 16000])
    """

    def __init__(
        self,
        effects: Sequence[Augmentation],
        p: float = 1.0,
        *,
        min_effects: int = 1,
        max_effects: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(effects, p, generator)
        most = len(self.effects) if max_effects is None else max_effects
        if not (is_whole(min_effects, at_least=0) and is_whole(most, at_least=0)) or not (
            min_effects <= most <= len(self.effects)
        ):
            raise RequestError(
                f"min_effects, max_effects: got {min_effects!r} and {max_effects!r}, may be whole numbers, "
                f"min_effects <= max_effects <= {len(self.effects)}, the number of members."
            )
        self.min_effects, self.max_effects = min_effects, max_effects
        self.num_own_draws = 2 + len(self.effects)

    def _allowed_to_each(self, own: Tensor, allowed: Tensor) -> Tensor:
        most = len(self.effects) if self.max_effects is None else self.max_effects
        count = self.min_effects + (own[:, 1] * (most - self.min_effects + 1)).floor()
        place = own[:, 2:].argsort(dim=1).argsort(dim=1)  # of each member in the clip's own random order
        return ((place < count[:, None]) & (own[:, :1] < self.p) & allowed[:, None]).T
