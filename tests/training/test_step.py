"""One step of learning."""

import pytest
import torch

from tonearm.batch import AudioBatch
from tonearm.config import Config
from tonearm.training.step import TrainingStep

SAME_GRADIENT = 1e-4  # of the largest entry: sums in another order


def make(config: Config, **train: object) -> TrainingStep:
    data = config.model_dump(mode="json")
    data["augmentation"] = {}
    data["train"].update(schedule="constant", **train)
    data["model"]["blocks"] = [{"pooling": {"mode": "avg", "keep": "channel_mel"}}]  # no BatchNorm: clips are alone
    return TrainingStep(
        Config.model_validate(data), num_classes=3, sample_rate=8000, num_channels=1, device=torch.device("cpu"),
        batches_an_epoch=3,
    )  # fmt: skip


def batch(seed: int, clips: int = 6) -> AudioBatch:
    generator = torch.Generator().manual_seed(seed)
    waveform = torch.randn(clips, 1, 2000, generator=generator)
    targets = torch.eye(3)[torch.randint(3, (clips,), generator=generator)]
    return AudioBatch(waveform, torch.full((clips,), 2000), targets, torch.arange(clips))


def joined(*batches: AudioBatch) -> AudioBatch:
    parts = [
        torch.cat([getattr(b, name) for b in batches]) for name in ("waveform", "lengths", "targets", "clip_index")
    ]
    return AudioBatch(*parts)


def weights(step: TrainingStep) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in step.model.parameters()])


@pytest.mark.parametrize(("accumulate", "batches"), [(2, 2), (4, 3)])
def test_accumulated_batches_are_one_larger_batch(config: Config, accumulate: int, batches: int) -> None:
    """Also where an epoch's last group is smaller than the others."""
    parts = [batch(seed) for seed in range(batches)]
    small, large = make(config, accumulate=accumulate), make(config)
    for step in (small, large):
        step.start_epoch(0)
    before = weights(small).clone()
    gradients = []
    for step, pieces in ((small, parts), (large, [joined(*parts)])):
        step.optimizer.register_step_pre_hook(
            lambda *_, step=step: gradients.append(torch.cat([p.grad.flatten() for p in step.model.parameters()]))
        )
        for piece in pieces:
            step(piece)
        step.finish_epoch()
    assert not torch.equal(weights(small), before)
    assert (gradients[0] - gradients[1]).abs().max() <= SAME_GRADIENT * gradients[1].abs().max()


def test_a_step_that_overflowed_moves_neither_schedule_nor_average(config: Config) -> None:
    step = make(config, ema_decay=0.5)
    step.start_epoch(0)
    step.schedule = torch.optim.lr_scheduler.StepLR(step.optimizer, 1, 0.5)
    step.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127 * 1.9)  # the scaled loss is infinite
    before, rate = weights(step).clone(), step.optimizer.param_groups[0]["lr"]
    step(batch(0))
    assert torch.equal(weights(step), before)
    assert step.optimizer.param_groups[0]["lr"] == rate
    assert step.average is not None
    assert int(step.average.n_averaged) == 0


def test_making_a_step_leaves_the_global_generator_alone(config: Config) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    make(config)
    assert torch.equal(torch.get_rng_state(), before)
