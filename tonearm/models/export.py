"""A trained classifier as a file that runs without tonearm: ONNX, or torch.export's program.

Number of clips and their length stay free. What a program that runs the file has to know travels inside it as JSON
(:class:`Description`): the classes in the order of the scores, what goes in, and the front-end's settings.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor, nn

from tonearm.errors import RequestError, RunError
from tonearm.models.classifier import Classifier

KEY = "tonearm.json"  # of the description: among torch.export's extra files, ONNX's metadata properties
FORMATS = {".onnx": "ONNX", ".pt2": "torch.export"}
# Of the largest score. Other kernels add in another order; ONNX has its own.
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Description:
    """What one has to know to use an exported file.

    Attributes:
        class_names: in the order of the scores.
        sample_rate: Hz.
        num_channels: of the waveform.
        scores: what the numbers that come out are.
        inputs: names of the inputs with their axes, in order.
        min_samples: the shortest waveform it takes.
        features: settings of the front-end, as a configuration has them.
        mean, std: what each mel band is normalised by, dB or as ``features.log`` says; done already where the
            front-end is inside.
    """

    class_names: tuple[str, ...]
    sample_rate: int
    num_channels: int
    scores: str
    inputs: dict[str, tuple[str, ...]]
    min_samples: int
    features: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        inputs: names of the inputs with their axes.
        difference: the largest one between the file's scores and the classifier's, as a share of the largest score;
            None for an ONNX file where onnxruntime is not installed.
    """

    inputs: dict[str, tuple[str, ...]]
    difference: float | None


class _Scores(nn.Module):
    """The part of a classifier that is exported: all of it, or what follows the front-end."""

    def __init__(self, classifier: Classifier, *, front_end: bool) -> None:
        super().__init__()
        self.classifier = classifier if front_end else classifier.network

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.classifier(*inputs)
        return scores


def export_classifier(
    classifier: Classifier, path: Path, *, class_names: tuple[str, ...], front_end: bool = True
) -> Exported:
    """Write a classifier to a file, read it back and compare its scores with the classifier's own.

    The file takes any number of clips of any length from about twice the network's shortest on. On a GPU, run one that
    has the front-end inside without TF32 (torch.backends.cudnn.allow_tf32 = False; onnxruntime's use_tf32=0): its
    Fourier transform is a convolution there, and TF32's 10 bits of mantissa put quiet bands decibels off.

    Args:
        classifier: left as it is; a copy in eval mode, on the CPU and in float32, is exported.
        path: ends in .onnx (needs ``pip install 'tonearm[export]'``) or .pt2. A file there is replaced once the new
            one is known to be right.
        class_names: in the order of the scores.
        front_end: whether the file takes waveforms (batch, channel, time) in [-1, 1]. Otherwise it takes what the
            front-end makes of them, normalised maps (batch, channel, mel, time), and networks that hear the waveform
            as well take both.

    Returns:
        What it takes, and how far its scores are from the classifier's.

    Raises:
        RequestError: another suffix, no such folder, another number of class names, or a package is missing.
        RunError: the file does not give the classifier's scores.
    """
    if path.suffix not in FORMATS:
        known = " or ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())
        raise RequestError(f"{path}: the name says what is written; it may end in {known}.")
    front, network = classifier.front_end, classifier.network
    inputs = _inputs(classifier, front_end=front_end)
    description = Description(
        class_names=class_names,
        sample_rate=front.sample_rate,
        num_channels=network.in_channels,
        scores="logits: softmax gives probabilities of classes that exclude each other, sigmoid of labels that do not",
        inputs=inputs,
        min_samples=front.samples(2 * network.min_frames),
        features=front.config.model_dump(mode="json"),
        mean=tuple(front.mean.flatten().tolist()),
        std=tuple(front.std.flatten().tolist()),
    )
    if len(class_names) != classifier.network.num_classes:
        raise RequestError(
            f"{path}: got {len(class_names)} class names for the network's {classifier.network.num_classes} scores."
        )
    if path.is_dir():
        raise RequestError(f"{path}: a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise RequestError(f"{path}: there is no folder {path.parent}. Make it first, or name another file.")
    copied = copy.deepcopy(classifier).cpu().float()
    exported = _Scores(copied, front_end=front_end).eval()
    write = _write_onnx if path.suffix == ".onnx" else _write_program
    with TemporaryDirectory(dir=path.parent, prefix=".tonearm-export-") as folder:
        written = Path(folder) / path.name
        run = write(exported, written, _examples(copied, 3, 1.5, front_end=front_end), description)
        difference = None
        if run is not None:
            lengths = ((1, 1.0), (2, 2.7))  # clips, and how long
            differences = [
                _difference(exported, run, _examples(copied, *each, front_end=front_end)) for each in lengths
            ]
            difference = float(torch.tensor(differences).max())  # NaN if one is
            if not difference <= LARGEST_DIFFERENCE:
                raise RunError(f"{path}: the scores would differ from the model's by {difference:.2g} of the largest.")
        # an ONNX model of more than 2 GB has its weights in a second file, which must be there first
        for file in sorted(Path(folder).iterdir(), key=lambda file: file == written):
            file.replace(path.parent / file.name)
    return Exported(inputs, difference)


def _inputs(classifier: Classifier, *, front_end: bool) -> dict[str, tuple[str, ...]]:
    inputs: dict[str, tuple[str, ...]] = {} if front_end else {"log_mel": ("batch", "channel", "mel", "frame")}
    if front_end or classifier.network.takes_waveform:
        inputs["waveform"] = ("batch", "channel", "time")
    return inputs


def _examples(classifier: Classifier, clips: int, length: float, *, front_end: bool) -> tuple[Tensor, ...]:
    """Noise of so many seconds, or of so many times what gives the network two cells in time where that is more.

    An exported program does not take a clip of which a single cell is left: torch treats a size of 1 as a constant.
    """
    front, network = classifier.front_end, classifier.network
    shortest = max(front.sample_rate, front.samples(2 * network.min_frames))
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(clips, network.in_channels, int(length * shortest), generator=generator)
    if front_end:
        return (waveform,)
    with torch.no_grad():
        log_mel = front(waveform)
    return (log_mel, waveform) if network.takes_waveform else (log_mel,)


Run = Callable[[tuple[Tensor, ...]], Tensor]


def _write_program(exported: nn.Module, path: Path, examples: tuple[Tensor, ...], description: Description) -> Run:
    program = torch.export.export(exported, examples, dynamic_shapes=_free_sizes(examples))
    torch.export.save(program, path, extra_files={KEY: json.dumps(asdict(description))})
    module = torch.export.load(path).module()
    return lambda inputs: module(*inputs)


def _write_onnx(exported: nn.Module, path: Path, examples: tuple[Tensor, ...], description: Description) -> Run | None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise RequestError(f"{path}: ONNX needs two packages more: pip install 'tonearm[export]'.") from None
    names = list(description.inputs)
    with _quiet():
        exporting = torch.onnx.export(
            exported,
            examples,
            dynamo=True,
            dynamic_shapes=_free_sizes(examples),
            input_names=names,
            output_names=["scores"],
            verbose=False,
        )
    program = cast("torch.onnx.ONNXProgram", exporting)  # never None, as dynamo is asked for
    program.model.metadata_props[KEY] = json.dumps(asdict(description))
    program.save(path)
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(
        session.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})[0]
    )


def _free_sizes(examples: tuple[Tensor, ...]) -> tuple[tuple[dict[int, Any], ...]]:
    """Number of clips and length of each input may be any."""
    free = torch.export.Dim.DYNAMIC
    return (tuple({0: free, each.dim() - 1: free} for each in examples),)


def _difference(exported: nn.Module, run: Run, inputs: tuple[Tensor, ...]) -> float:
    with torch.no_grad():
        expected = exported(*inputs)
        got = run(inputs)
        if got.shape != expected.shape:
            return float("inf")
        return float((got - expected).abs().max() / expected.abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
