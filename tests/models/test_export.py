"""Exported files give the classifier's scores, for any number of clips of any length, and say what they are."""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from tests.models.cases import CASES
from tonearm.errors import RequestError, RunError
from tonearm.models import LogMel
from tonearm.models.classifier import Classifier
from tonearm.models.export import KEY, LARGEST_DIFFERENCE, export_classifier

NAMES = ("bark", "rain", "sea")


def classifier(name: str) -> Classifier:
    """A reduced network behind its front-end, with running statistics of some noise."""
    torch.manual_seed(0)
    case = CASES[name]
    model = Classifier(LogMel(case.features, sample_rate=case.sample_rate), case.build(num_classes=len(NAMES)))
    model.front_end.set_normalization(-40.0, 20.0)
    with torch.no_grad():
        for _ in range(10):
            model(torch.randn(4, 1, 2 * case.sample_rate) / 10)
    return model


ALIKE = {"cnn14-128", "gated-cnn-half", "seed-github"}  # with another case, as far as exporters see them
# Each network by both formats, by one with its front-end. ONNX has the front-end of one that sums powers, of one that
# sums magnitudes, and of the network that hears waveforms too.
WAYS = [
    *((name, ".pt2", True) for name in CASES if name not in ALIKE),
    *((name, ".pt2", False) for name in ("blocks", "wavegram")),
    *((name, ".onnx", False) for name in CASES if name not in ALIKE),
    *((name, ".onnx", True) for name in ("cnn14", "mobilenet", "wavegram")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix", "front_end"), WAYS)
def test_an_exported_file_gives_the_classifiers_scores(name: str, suffix: str, front_end: bool, tmp_path: Path) -> None:
    model = classifier(name).train()
    path = tmp_path / f"model{suffix}"
    found = export_classifier(model, path, class_names=NAMES, front_end=front_end)
    assert model.training
    assert found.difference is not None
    assert found.difference <= LARGEST_DIFFERENCE
    first = "waveform" if front_end else "log_mel"
    assert list(found.inputs) == [first] + (["waveform"] if name == "wavegram" and not front_end else [])


@pytest.mark.slow
def test_onnx_runs_alone_and_carries_its_description(tmp_path: Path) -> None:
    model = classifier("blocks").eval()
    export_classifier(model, tmp_path / "model.onnx", class_names=NAMES)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    waveform = torch.randn(5, 1, 70_000) / 10
    scores = session.run(["scores"], {"waveform": waveform.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(scores), model(waveform).detach(), rtol=1e-3, atol=1e-3)
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    described = json.loads(metadata[KEY])
    assert described["class_names"] == list(NAMES)
    assert described["sample_rate"] == 44_100
    assert described["scores"].startswith("logits")
    assert described["min_samples"] <= 70_000
    assert described["features"]["n_mels"] == 64
    assert described["mean"] == [-40.0] * 64
    assert described["inputs"] == {"waveform": ["batch", "channel", "time"]}


def test_a_program_runs_without_tonearm_and_carries_its_description(tmp_path: Path) -> None:
    import subprocess
    import sys

    model = classifier("blocks").eval()
    path = tmp_path / "model.pt2"
    export_classifier(model, path, class_names=NAMES)
    waveform = torch.randn(2, 1, 60_000) / 10
    torch.save(waveform, tmp_path / "waveform.pt")
    code = f"""
import sys, torch
extra = {{"{KEY}": ""}}
program = torch.export.load({str(path)!r}, extra_files=extra).module()
torch.save(program(torch.load({str(tmp_path / "waveform.pt")!r})), {str(tmp_path / "scores.pt")!r})
print(extra["{KEY}"])
assert not any(name.startswith("tonearm") for name in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert json.loads(out)["class_names"] == list(NAMES)
    torch.testing.assert_close(torch.load(tmp_path / "scores.pt"), model(waveform).detach(), rtol=1e-4, atol=1e-4)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"model\.pt: .*may end in \.onnx \(ONNX\) or \.pt2"):
        export_classifier(classifier("blocks"), tmp_path / "model.pt", class_names=NAMES)


def test_a_file_that_scores_nan_for_one_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([1e-7, float("nan")])
    monkeypatch.setattr("tonearm.models.export._difference", lambda *args: next(found))
    with pytest.raises(RunError, match="differ from the model's by nan"):
        export_classifier(classifier("blocks"), tmp_path / "model.pt2", class_names=NAMES)


def test_names_of_other_classes_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="got 2 class names for the network's 3 scores"):
        export_classifier(classifier("blocks"), tmp_path / "model.pt2", class_names=NAMES[:2])
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(RequestError, match=r"folder\.pt2: a folder"):
        export_classifier(classifier("blocks"), tmp_path / "folder.pt2", class_names=NAMES)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"model\.pt2: there is no folder .*nowhere"):
        export_classifier(classifier("blocks"), tmp_path / "nowhere" / "model.pt2", class_names=NAMES)


def test_a_file_that_scores_otherwise_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = torch.export.load

    def load_another(path: Path) -> object:
        program = load(path)
        with torch.no_grad():
            program.state_dict["classifier.network.layers.head.bias"].add_(1)
        return program

    monkeypatch.setattr(torch.export, "load", load_another)
    (tmp_path / "model.pt2").write_text("the one before")
    with pytest.raises(RunError, match=r"model\.pt2: the scores would differ from the model's by"):
        export_classifier(classifier("blocks"), tmp_path / "model.pt2", class_names=NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    assert (tmp_path / "model.pt2").read_text() == "the one before"
