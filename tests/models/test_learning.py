"""Each network, reduced, learns 32 real seconds by heart; each system, at full size, makes a step."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import Tensor
from torch.nn import functional

from tests.models.cases import CASES
from tonearm.models import SYSTEMS, LogMel, Network, System
from tonearm.models.classifier import Classifier

NUM_CLIPS, STEPS, LEARNT = 32, 100, 0.05


@pytest.fixture(scope="module")
def seconds(esc10: Path) -> tuple[list[np.ndarray], Tensor]:
    """The loudest second of 32 recordings at 44.1 kHz, of all classes, and their classes."""
    classes = sorted(folder for folder in esc10.iterdir() if folder.is_dir())
    clips, targets = [], []
    for number in range(NUM_CLIPS):
        label = number % len(classes)
        path = sorted(classes[label].glob("*.ogg"))[number // len(classes)]
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 44_100
        energy = np.convolve(np.square(samples), np.ones(rate // 10), "valid")[:: rate // 10]
        start = min(int(energy.argmax()) * rate // 10, len(samples) - rate)
        clips.append(samples[start : start + rate])
        targets.append(label)
    return clips, torch.tensor(targets)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_reduced_network_learns_real_clips_by_heart(
    name: str, seconds: tuple[list[np.ndarray], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for dropout in ("dropout", "dropout2d"):  # they are there to make this hard
        monkeypatch.setattr(functional, dropout, lambda x, *args, **options: x)
    case = CASES[name]
    clips, targets = seconds
    waveform = torch.stack([torch.from_numpy(soxr.resample(clip, 44_100, case.sample_rate)) for clip in clips])[:, None]
    torch.manual_seed(0)
    front_end = LogMel(case.features, sample_rate=case.sample_rate)
    log_mel = front_end(waveform)
    front_end.set_normalization(log_mel.mean(), log_mel.std())  # as training does for features.normalize: dataset
    log_mel = front_end(waveform)
    net = case.build(num_classes=10)
    model = Classifier(front_end, net)
    optimizer = torch.optim.Adam(net.parameters(), lr=case.learning_rate)
    for _ in range(STEPS):
        loss = functional.cross_entropy(model.score(log_mel, waveform), targets)
        if float(loss.detach()) < LEARNT:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss of {NUM_CLIPS} clips is {float(loss.detach()):.3f} after {STEPS} steps")


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_full_system_leaves_a_finite_gradient_in_every_parameter(system: System) -> None:
    torch.manual_seed(0)
    front_end = LogMel(system.features, sample_rate=system.sample_rate)
    net: Network = system.build(num_classes=system.num_classes, n_mels=system.features.n_mels)
    num_samples = max(system.sample_rate, front_end.samples(net.min_frames))  # a second, or what it needs
    waveform = torch.randn(2, 1, num_samples) / 10
    model = Classifier(front_end, net)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    loss = functional.cross_entropy(model(waveform), torch.tensor([0, 1]))
    assert loss.isfinite()
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    before = net.get_submodule(net.class_layer).weight.detach().clone()
    optimizer.step()
    assert not torch.equal(net.get_submodule(net.class_layer).weight, before)
