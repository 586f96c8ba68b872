"""The contract of every augmentation: parameters are sampled on the host, then applied on the device.

``sample`` draws one row of numbers a clip from a private CPU generator and decides who is touched; ``apply`` does it,
without a look back at the host; ``forward`` is one after the other. See docs/design/augmentation-contract.md for why.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, NamedTuple, Self, overload

import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from tonearm.batch import AudioBatch
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.arguments import check_whole
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.params import Params, Step, eighths


class Augmented(NamedTuple):
    """A batch with what belongs to it.

    Attributes:
        waveform: (batch, channel, time), or a specgram (batch, channel, mel, time).
        lengths: (batch,) valid samples of each clip, or None where all are valid.
        targets: (batch, class), or None.
    """

    waveform: Tensor
    lengths: Tensor | None
    targets: Tensor | None


class Augmentation(nn.Module, ABC):
    """The base of effects and of their compositions.

    Called on a bare waveform it returns a waveform; with ``lengths`` or ``targets`` an :class:`Augmented`; on an
    :class:`~tonearm.batch.AudioBatch` an AudioBatch. In ``eval()`` mode it returns what it was given and draws nothing.

    Args:
        generator: a CPU generator to draw from. None: one of its own, seeded by the operating system. Either way its
            state is in ``state_dict()``, so that a resumed run goes on with the same stream. A member of a
            :class:`~tonearm.gpu_augment.Chain` draws from the chain's instead.

    Raises:
        RequestError: the generator is none, or not on the CPU.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if generator is None:
            generator = torch.Generator("cpu")
            generator.seed()
        if not isinstance(generator, torch.Generator):
            raise RequestError(f"generator: got {generator!r}, may be a torch.Generator on the CPU, or None.")
        if generator.device.type != "cpu":
            raise RequestError(
                f"generator: got one on {generator.device}, may be a CPU generator: parameters are drawn on the host, "
                f"equal for every device."
            )
        self.generator = generator
        self._in_a_chain = False

    def _effects_in_order(self) -> list[str]:
        """The names that the steps it samples carry; a composition gives its members'."""
        return [type(self).__name__]

    def _keeps_shape(self) -> bool:
        """Whether a batch comes out as large as it went in."""
        return True

    @property
    @abstractmethod
    def num_draws(self) -> int:
        """Uniform numbers a clip needs: always as many, so that its row depends on nothing but its place."""

    @abstractmethod
    def _steps(self, uniforms: Tensor, allowed: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        """From (batch, num_draws) float64 in [0, 1) to what is to be done, on the CPU.

        ``allowed`` is (batch,) bool: the clips that a composition leaves to this augmentation.
        """

    @abstractmethod
    def _check_layout(self, waveform: Tensor) -> None:
        """Raise ShapeError for a batch that is not of the kind one takes."""

    @abstractmethod
    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        """Take one's own steps off the iterator and do them.

        ``given`` is the caller's waveform, which must stay as it is; any other that comes along may be written to.
        """

    def constructor_arguments(self) -> dict[str, Any]:
        """What it was made with, by name, but for the generator: each argument is kept under its own name."""
        names = [name for name in signature(type(self)).parameters if name != "generator"]
        for name in names:
            if not hasattr(self, name):
                raise RequestError(f"{type(self).__name__}: it must keep its argument {name} as self.{name}.")
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """The arguments, for print; what is a module itself is printed below."""
        arguments = self.constructor_arguments().items()
        return ", ".join(f"{name}={value!r}" for name, value in arguments if not isinstance(value, nn.Module))

    def sample(
        self,
        batch_size: int,
        num_samples: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
        gather_sizes: Sequence[int] | None = None,
    ) -> Params:
        """Draw what is to be done to a batch, without seeing it.

        A batch's rows come from the stream one after the other: sampling 8 clips gives the rows of 3 and then of 5.

        Args:
            batch_size: clips of the batch.
            num_samples: size of the batch's last axis (frames, for a specgram).
            device: where apply will need them. All is sent in one copy, from pinned memory to a CUDA device.
            generator: a CPU generator to draw from instead of the module's own.
            gather_sizes: fill each effect's gathered set up to the next of these sizes with clips that come out as they
                went in, so that cuFFT's plans, a compiled or a captured apply meet few shapes. None: for a CUDA device
                the eighths of the batch, elsewhere no more than needed (as range(batch_size + 1) has it anywhere).

        Returns:
            Params, for ``apply`` to batches of this size, as often as wanted.

        Raises:
            RequestError: a size is no whole number, 0 or more.
        """
        check_whole("batch_size", batch_size, at_least=0)
        check_whole("num_samples", num_samples, at_least=0)
        if gather_sizes is None and torch.device(device).type == "cuda":
            gather_sizes = eighths(batch_size)
        generator = self.generator if generator is None else generator
        uniforms = torch.rand(batch_size, self.num_draws, dtype=torch.float64, generator=generator, device="cpu")
        allowed = torch.ones(batch_size, dtype=torch.bool, device="cpu")
        return Params(batch_size, num_samples, tuple(self._steps(uniforms, allowed, gather_sizes))).to(device)

    @overload
    def apply(self, waveform: Tensor, params: Params) -> Tensor: ...
    @overload
    def apply(
        self, waveform: Tensor, params: Params, lengths: Tensor | None, targets: Tensor | None = None
    ) -> Tensor | Augmented: ...
    @overload
    def apply(self, waveform: Callable[[nn.Module], None]) -> Self: ...
    def apply(
        self,
        waveform: Tensor | Callable[[nn.Module], None],
        params: Params | None = None,
        lengths: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Tensor | Augmented | Self:
        """Do what was sampled. Nothing is drawn, nothing is copied between devices, and the host does not wait.

        Args:
            waveform: (batch, channel, time), or a specgram (batch, channel, mel, time). It is not changed. A function
                (and nothing else) in its place is applied to all submodules, as ``nn.Module.apply`` does it.
            params: from ``sample``, for this size and on this device.
            lengths: (batch,) int64, valid samples of each clip, 0 to the width. None: all are valid.
            targets: (batch, class).

        Returns:
            A new waveform (the same one where there is nothing to do), or Augmented where lengths or targets came in.

        Raises:
            ShapeError: waveform, lengths and params do not fit each other, or another augmentation drew the params.
            RequestError: no params were given.
        """
        if isinstance(waveform, nn.Module) or (callable(waveform) and not isinstance(waveform, Tensor)):
            return super().apply(waveform)
        _check_is_tensor(waveform)
        if params is None:
            raise RequestError("params: got None, may be what sample(batch_size, num_samples) returned.")
        self._check_layout(waveform)
        _check_fit(waveform, params, lengths, targets, effects=self._effects_in_order())
        batch = self._run(Augmented(waveform, lengths, targets), iter(params.steps), given=waveform)
        return batch.waveform if lengths is None and targets is None else batch

    def forward(
        self, waveform: Tensor | AudioBatch, lengths: Tensor | None = None, targets: Tensor | None = None
    ) -> Tensor | Augmented | AudioBatch:
        """Sample, then apply; in ``eval()`` mode neither."""
        if isinstance(waveform, AudioBatch):
            batch = waveform
            if not self.training:
                return batch
            new = self(batch.waveform, batch.lengths, batch.targets)
            return replace(batch, waveform=new.waveform, lengths=new.lengths, targets=new.targets)
        if not self.training:
            return waveform if lengths is None and targets is None else Augmented(waveform, lengths, targets)
        _check_is_tensor(waveform)
        self._check_layout(waveform)
        if get_worker_info() is not None:
            self._warn_of_repeats()
        params = self.sample(waveform.shape[0], waveform.shape[-1], device=waveform.device)
        return self.apply(waveform, params, lengths, targets)

    def _warn_of_repeats(self) -> None:
        warnings.warn(
            f"{type(self).__name__} is drawn from in a DataLoader worker: each worker has a copy of the generator, and "
            f"all draw the same, in every epoch again. Augment the batch in the main process; or give each worker a "
            f"generator of its own in worker_init_fn.",
            stacklevel=3,
        )

    def get_extra_state(self) -> Tensor:
        """The generator's state, for ``state_dict()``; nothing where a chain draws instead."""
        return torch.empty(0, dtype=torch.uint8, device="cpu") if self._in_a_chain else self.generator.get_state()

    def set_extra_state(self, state: Any) -> None:
        """Go on where the generator that was saved had come to."""
        if len(state):
            self.generator.set_state(state.cpu())


def _check_is_tensor(waveform: object) -> None:
    if not isinstance(waveform, Tensor):
        advice = " Convert it with torch.from_numpy." if type(waveform).__name__ == "ndarray" else ""
        raise ShapeError(f"waveform: got a {type(waveform).__name__}, must be a torch.Tensor.{advice}")


def _check_fit(
    waveform: Tensor, params: Params, lengths: Tensor | None, targets: Tensor | None, *, effects: list[str]
) -> None:
    drawn_for = [step.effect for step in params.steps]
    if drawn_for != effects:
        raise ShapeError(
            f"params: drawn for {' + '.join(drawn_for) or 'nothing'}, but this is {' + '.join(effects) or 'nothing'}. "
            f"Take those that this augmentation's own sample() returned."
        )
    batch_size, num_samples = waveform.shape[0], waveform.shape[-1]
    if (batch_size, num_samples) != (params.batch_size, params.num_samples):
        raise ShapeError(
            f"params: drawn for {params.batch_size} clips of {params.num_samples}, but the batch is "
            f"{tuple(waveform.shape)}. Draw others: sample({batch_size}, {num_samples})."
        )
    if params.steps and params.device != waveform.device:
        raise ShapeError(
            f"params: on {params.device}, but the batch is on {waveform.device}. "
            f"Sample them there, sample(..., device=waveform.device), or move them once, params.to(waveform.device)."
        )
    if lengths is not None:
        _check_lengths(lengths, waveform)
    if targets is not None and not isinstance(targets, Tensor):
        raise ShapeError(f"targets: got a {type(targets).__name__}, must be a torch.Tensor, a row a clip.")
    if targets is not None and (targets.shape[:1] != (batch_size,) or targets.device != waveform.device):
        raise ShapeError(
            f"targets: got {tuple(targets.shape)} on {targets.device}, must be ({batch_size}, classes) on "
            f"{waveform.device}, a row a clip."
        )


def _check_lengths(lengths: Tensor, waveform: Tensor) -> None:
    batch_size, num_samples = waveform.shape[0], waveform.shape[-1]
    if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        got = lengths.dtype if isinstance(lengths, Tensor) else f"a {type(lengths).__name__}"
        raise ShapeError(f"lengths: got {got}, must be a torch.Tensor of whole numbers, samples of each clip.")
    if lengths.shape != (batch_size,) or lengths.device != waveform.device:
        raise ShapeError(
            f"lengths: got {tuple(lengths.shape)} on {lengths.device}, must be ({batch_size},) on "
            f"{waveform.device}, one a clip."
        )
    if waveform.dim() != 3 or not batch_size or not blocks.on_cpu(lengths):
        return  # of spectrograms they are not read; on a GPU the host does not know them
    if not 0 <= int(lengths.min()) <= int(lengths.max()) <= num_samples:
        raise ShapeError(
            f"lengths: got {int(lengths.min())} to {int(lengths.max())}, must be from 0 to {num_samples}, the width of "
            f"the batch."
        )
