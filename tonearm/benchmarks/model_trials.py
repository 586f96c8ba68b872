"""A network on a device: what its rows run, and the trial of each before it is timed.

The rows of a system share their weights, one set for each memory format. In its trial a row runs, gives what the plain
row (fp32, contiguous, eager) gives, and its memory is measured. A row that cannot is left out with the reason, and the
others are timed.
"""

import copy
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tonearm.benchmarks.augment_material import make_material
from tonearm.benchmarks.harness import synchronize
from tonearm.benchmarks.matrix_rate import tf32_in_convolutions
from tonearm.benchmarks.model_rows import Pass, Row
from tonearm.benchmarks.peak_memory import peak_growth
from tonearm.errors import TonearmError
from tonearm.models import Network, System
from tonearm.seeding import seed_of
from tonearm.training.precision import Precision

# Of the scores, the norm of the difference over the norm: their mantissas have 24, 11 and 8 bits, and what one layer
# rounds the next ones amplify.
TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
# The same of all gradients of an eager row, without dropout: 2 if negated, √2 if they have nothing to do with each
# other. Norms over few clips amplify what is rounded: up to 0.03, 0.3 and 0.8 in the catalog's ERANNs and CNNs, 0.2,
# 0.5 and 1.3 in its MobileNet (a CPU, 4 clips of 1 s and 5 s).
GRADIENT_TOLERANCES = {"fp32": 0.3, "fp16": 0.8, "bf16": 1.35}
# The whole gradient's norm over the plain row's. Dropout draws anew, so it is no more than a bound on gross errors: a
# loss scale left in, gradients of two passes added up, a part of the network cut off.
GRADIENT_WITHIN = 2.0
LARGEST_LOSS_SCALE = 2.0**16  # where torch's GradScaler begins; it halves as well


class LeftOut(Exception):
    """A row cannot be timed; the message is the reason."""


@dataclass(frozen=True)
class Trial:
    """What the trial of a row showed.

    Attributes:
        peak_bytes: weights, buffers, input, and all that a pass takes besides.
        compile_seconds: of the first pass, which compiles, over the second; 0 if nothing is compiled.
        loss_scale: that its gradients are finite at; 1 but for fp16.
    """

    peak_bytes: int
    compile_seconds: float
    loss_scale: float


class BenchedSystem:
    """A system on a device, with random weights and a batch of made-up sounds; runs and tries rows.

    Args:
        system: what to build.
        batch_size: clips.
        duration_seconds: of each.
        device: where.

    Raises:
        LeftOut: there is not even memory for the plain row.
    """

    def __init__(self, system: System, *, batch_size: int, duration_seconds: float, device: torch.device) -> None:
        self.device = device
        with _left_out_if_it_fails(device, memory_alone=True):
            material = make_material(
                batch_size=batch_size,
                sample_rate=system.sample_rate,
                duration_seconds=duration_seconds,
                features=system.features,
                device=device,
            )
            log_mel = material.specgram
            if system.features.normalize != "none":  # as a training run does, from its clips
                log_mel = (log_mel - log_mel.mean()) / log_mel.std()
            self._waveform, self._log_mel = material.waveform, log_mel
            self._targets = torch.arange(batch_size, device=device) % system.num_classes
            torch.manual_seed(seed_of("bench model", "weights"))
            self._networks = self._in_both_formats(system.build(num_classes=system.num_classes).to(device))
            self._compiled = {
                key: torch.compile(network, fullgraph=True, dynamic=False) for key, network in self._networks.items()
            }
            self._loss_scales: dict[Row, float] = {}
            plain = {what: Row(system.name, what, "fp32", channels_last=False, compiled=False) for what in Pass}
            self._scores = self.forward(plain[Pass.FORWARD])
            self.forward_backward(plain[Pass.TRAINING])
            self._gradient_norm = float(_norm(self._take_gradients(plain[Pass.TRAINING])))

    def pass_of(self, row: Row) -> Callable[[], int]:
        """What the stopwatch runs; returns how many clips it handled."""

        def forward() -> int:
            return len(self.forward(row))

        def training() -> int:
            self.forward_backward(row)
            self._clear(row)
            return len(self._log_mel)

        return forward if row.what is Pass.FORWARD else training

    def try_out(self, row: Row) -> Trial:
        """Run a row, check what it gives and measure its memory.

        Raises:
            LeftOut: it does not run, or gives something else than the plain row.
        """
        run, compile_seconds = self.pass_of(row), 0.0
        with _left_out_if_it_fails(self.device, memory_alone=row == row.plain):
            graphs = _compiled_graphs()
            first = self._seconds(run)
            if row.compiled:
                if _compiled_graphs() == graphs:
                    raise LeftOut("torch.compile compiled nothing; it may be disabled by TORCH_COMPILE_DISABLE.")
                compile_seconds = max(first - self._seconds(run), 0.0)
            complaint = self._fault_of_scores(row) if row.what is Pass.FORWARD else self._fault_of_gradients(row)
            if complaint is not None:
                raise LeftOut(complaint)
            peak = self._bytes_there(row) + peak_growth(run, self.device)
        return Trial(peak, compile_seconds, self._loss_scales.get(row, 1.0))

    def forward(self, row: Row) -> Tensor:
        """The scores of the batch."""
        with torch.no_grad():
            return self._call(row)

    def forward_backward(self, row: Row) -> None:
        """Leave the gradients of the mean cross-entropy, times the loss scale, on the weights."""
        loss = functional.cross_entropy(self._call(row).float(), self._targets)
        (loss * self._loss_scales.get(row, 1.0)).backward()

    def _call(self, row: Row) -> Tensor:
        key = row.channels_last, row.what
        network: Callable[..., Tensor] = self._compiled[key] if row.compiled else self._networks[key]
        precision = self._precision(row)
        inputs = [precision.lay_out(self._log_mel)]
        if self._networks[key].takes_waveform:
            inputs.append(self._waveform)
        with precision.autocast():
            return network(*inputs)

    def _precision(self, row: Row) -> Precision:
        return Precision(row.precision, row.channels_last, self.device)

    def _fault_of_scores(self, row: Row) -> str | None:
        scores, expected = self.forward(row).float(), self._scores.float()
        if not scores.isfinite().all():
            return "its scores are not finite."
        error = float((scores - expected).norm() / expected.norm())
        tolerance = TOLERANCES[self._rounding(row)]
        if error <= tolerance:
            return None
        return f"its scores are {error:.2%} off those of fp32 contiguous eager; {tolerance:.1%} is allowed."

    def _fault_of_gradients(self, row: Row) -> str | None:
        """None as soon as they are right, at the largest loss scale that makes them so."""
        scale = LARGEST_LOSS_SCALE if row.precision == "fp16" else 1.0
        while True:
            self._loss_scales[row] = scale
            self.forward_backward(row)
            norm = _norm(self._take_gradients(row))
            if norm.isfinite():
                break
            if scale <= 1:
                return "its gradients are not finite" + (" at any loss scale." if row.precision == "fp16" else ".")
            scale /= 2
        ratio = float(norm) / self._gradient_norm
        if not 1 / GRADIENT_WITHIN <= ratio <= GRADIENT_WITHIN:
            return (
                f"the norm of its gradients is {ratio:.3g} times that of fp32 contiguous eager; "
                f"{1 / GRADIENT_WITHIN:g} to {GRADIENT_WITHIN:g} is allowed."
            )
        tolerance = GRADIENT_TOLERANCES[self._rounding(row)]
        # a compiled network draws random numbers of its own, and without dropout it would be another graph
        if row.compiled or (error := self._gradient_error(row)) <= tolerance:
            return None
        return f"its gradients are {error:.2%} off those of fp32 contiguous eager; {tolerance:.1%} is allowed."

    def _gradient_error(self, row: Row) -> float:
        """The norm of the difference from the plain row's gradients over the norm of these."""
        # computed anew for each row, so that no gradients lie in memory while others are tried and timed
        expected, gradients = self._repeatable_gradients(row.plain), self._repeatable_gradients(row)
        apart = _norm(each - other for each, other in zip(gradients, expected, strict=True))
        return float(apart / _norm(expected))

    def _repeatable_gradients(self, row: Row) -> list[Tensor]:
        """Those that depend on nothing random."""
        torch.manual_seed(seed_of("bench model", "gradients"))
        with _WithoutDropout():
            self.forward_backward(row)
        return self._take_gradients(row)

    def _take_gradients(self, row: Row) -> list[Tensor]:
        """Of every weight, without the loss scale; clears them."""
        scale = self._loss_scales.get(row, 1.0)
        gradients = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad.div_(scale)
            for weight in self._networks[row.channels_last, row.what].parameters()
        ]
        self._clear(row)
        return gradients

    def _rounding(self, row: Row) -> str:
        """The precision whose tolerance holds: TF32 has the mantissa of float16."""
        return "fp16" if row.precision == "fp32" and tf32_in_convolutions(self.device) else row.precision

    def _clear(self, row: Row) -> None:
        for weight in self._networks[row.channels_last, row.what].parameters():
            weight.grad = None

    def _seconds(self, run: Callable[[], int]) -> float:
        synchronize(self.device)
        start = perf_counter()
        run()
        synchronize(self.device)
        return perf_counter() - start

    def _bytes_there(self, row: Row) -> int:
        """What lies on the device before a pass begins, for this row alone."""
        network = self._networks[row.channels_last, row.what]
        tensors = [*network.parameters(), *network.buffers(), self._log_mel, self._targets]
        return sum(each.nbytes for each in tensors) + (self._waveform.nbytes if network.takes_waveform else 0)

    def _in_both_formats(self, network: Network) -> dict[tuple[bool, Pass], Network]:
        """By channels_last and pass. A pass has its own buffers, so that training does not change what forward gives;
        weights are shared by the passes of a format."""
        self._settle_norms(network)
        networks: dict[tuple[bool, Pass], Network] = {}
        for channels_last in (False, True):
            base = copy.deepcopy(network).to(memory_format=torch.channels_last) if channels_last else network
            weights = {id(weight): weight for weight in base.parameters()}
            networks[channels_last, Pass.FORWARD] = base.eval()
            networks[channels_last, Pass.TRAINING] = copy.deepcopy(base, memo=weights).train()
        return networks

    def _settle_norms(self, network: Network) -> None:
        """Give batch norms the statistics of the batch: with those of a new network scores would grow without end."""
        norms = [each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # the mean over all batches seen, of which there will be one
        with torch.no_grad():
            network.train()(*([self._log_mel, self._waveform] if network.takes_waveform else [self._log_mel]))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class _WithoutDropout(TorchFunctionMode):
    """Dropout lets everything through: what it draws depends on memory format and dtype, also from the same seed."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (functional.dropout, functional.dropout2d):
            return args[0]
        return func(*args, **(kwargs or {}))


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Of all of them as one vector."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in tensors]))
    return norm


@contextmanager
def _left_out_if_it_fails(device: torch.device, *, memory_alone: bool) -> Iterator[None]:
    """Torch's own failures (no memory, no compiler, no such kernel) as :class:`LeftOut`; a bug of ours goes through.

    Args:
        memory_alone: only where memory ran out. The plain row has to run, so that what fails there is a bug of ours.
    """
    try:
        yield
    except TonearmError:
        raise
    except (RuntimeError, MemoryError) as error:
        if memory_alone and not _is_out_of_memory(error):
            raise
        lines = str(error).strip().split("\n")
        # behind the command line of a C++ compiler, what it complained about
        said = next((": " + line.partition("error: ")[2] for line in lines[1:] if "error: " in line), "")
        text = lines[0] + said
        reason = f"out of memory: {text}" if _is_out_of_memory(error) else f"{type(error).__name__}: {text}"
        # the traceback holds the tensors of the pass that failed
        raise LeftOut(reason) from error.with_traceback(None)
    finally:
        if device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _is_out_of_memory(error: Exception) -> bool:
    """Also where a plain RuntimeError is raised: by a CPU's allocator, by CUDA outside torch's, and by cuBLAS."""
    said = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in said)


def _compiled_graphs() -> int:
    """How many graphs torch.compile has made so far in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
