"""One training step: augment, log-mel, mask, forward, backward, update."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tonearm.batch import AudioBatch
from tonearm.config import Config, TrainConfig
from tonearm.gpu_augment import Augmented, Chain
from tonearm.models import Classifier
from tonearm.models.classifier import build_classifier, with_front_end
from tonearm.seeding import seed_of, torch_generator
from tonearm.training.augmentation import build_chains
from tonearm.training.clock import StageClock
from tonearm.training.precision import resolve_precision


class TrainingStep:
    """Everything that changes while a model learns, and how one batch changes it.

    Args:
        config: the run's.
        num_classes: of the dataset.
        sample_rate: Hz.
        num_channels: of the waveforms.
        device: where the model lies and batches come from.
        batches_an_epoch: what the learning-rate schedule is planned for, together with the epochs of the config.
    """

    def __init__(
        self,
        config: Config,
        *,
        num_classes: int,
        sample_rate: int,
        num_channels: int,
        device: torch.device,
        batches_an_epoch: int,
    ) -> None:
        config = with_front_end(config, sample_rate=sample_rate)
        self.config = config.train
        self.normalize = config.features.normalize
        self.device = device
        self.precision = resolve_precision(config.train, device)
        with torch.random.fork_rng(devices=[]):  # made on the CPU; the caller's global generator stays as it is
            torch.default_generator.manual_seed(seed_of(config.train.seed, "weights"))
            self.model = build_classifier(
                config, num_classes=num_classes, sample_rate=sample_rate, num_channels=num_channels
            ).to(device)
        self.model.network.to(memory_format=self.precision.memory_format)
        chains = build_chains(config.augmentation, sample_rate=sample_rate)
        self.waveform_chain, self.specgram_chain = (chain.to(device) for chain in chains)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.train.lr, weight_decay=config.train.weight_decay
        )
        updates_an_epoch = -(-batches_an_epoch // config.train.accumulate)
        self.schedule = _schedule(self.optimizer, config.train, updates_an_epoch * config.train.epochs)
        self.scaler = self.precision.scaler()
        decay = config.train.ema_decay
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay else None
        )
        self.clock = StageClock(device)
        self._accumulated = 0
        self._stepped = False
        self.optimizer.register_step_post_hook(self._note_step)

    def start_epoch(self, epoch: int) -> None:
        """Make every draw of this epoch (augmentation, dropout) a function of the run's seed and the epoch."""
        seed = self.config.seed
        self._waveform_generator = torch_generator(seed, epoch, "waveform")
        self._specgram_generator = torch_generator(seed, epoch, "specgram")
        torch.manual_seed(seed_of(seed, epoch, "layers"))
        self.model.train()

    def __call__(self, batch: AudioBatch) -> Tensor:
        """Learn from a batch; returns the loss, detached, still on the device."""
        clock = self.clock
        with torch.no_grad():
            with clock.stage("augment"):
                waveform, targets = _augment(
                    self.waveform_chain, batch.waveform, batch.lengths, batch.targets, self._waveform_generator
                )
            with clock.stage("front-end"):
                specgram = self.model.front_end(waveform)
            with clock.stage("mask"):
                specgram, targets = _augment(self.specgram_chain, specgram, None, targets, self._specgram_generator)
                specgram = self.precision.lay_out(specgram)
        with clock.stage("model"):
            with self.precision.autocast():
                scores = self.model.score(specgram, waveform)
            loss = functional.cross_entropy(scores.float(), targets, label_smoothing=self.config.label_smoothing)
            self.scaler.scale(loss / self.config.accumulate).backward()
            self._accumulated += 1
            if self._accumulated == self.config.accumulate:
                self._update()
        return loss.detach()

    def finish_epoch(self) -> None:
        """Step with what is left of an accumulation."""
        if self._accumulated:
            self._update()

    def scored_model(self) -> Classifier:
        """The model that is evaluated and kept: the running average if there is one."""
        return self.model if self.average is None else self.average.module  # type: ignore[return-value]

    def state_dict(self) -> dict[str, object]:
        """Everything a resumed run needs, as tensors and plain values."""
        state: dict[str, object] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else {},
            "scaler": self.scaler.state_dict(),
        }
        return state if self.average is None else {**state, "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        """Take up where ``state`` was saved."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _note_step(self, *_: object) -> None:
        self._stepped = True

    def _update(self) -> None:
        parameters = list(self.model.parameters())
        if self._accumulated < self.config.accumulate:  # an epoch's last, smaller group is a mean as well
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(self.config.accumulate / self._accumulated)
        self._accumulated = 0
        if self.config.grad_clip_value or self.config.grad_clip_norm:
            self.scaler.unscale_(self.optimizer)
            if self.config.grad_clip_value:
                nn.utils.clip_grad_value_(parameters, self.config.grad_clip_value)
            if self.config.grad_clip_norm:
                nn.utils.clip_grad_norm_(parameters, self.config.grad_clip_norm)
        self._stepped = False
        self.scaler.step(self.optimizer)  # leaves the optimizer's step out where fp16 gradients overflowed
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self._stepped:
            if self.schedule:
                self.schedule.step()
            if self.average is not None:
                self.average.update_parameters(self.model)


def _augment(
    chain: Chain, data: Tensor, lengths: Tensor | None, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What the chain makes of waveforms or specgrams and their targets, drawn from a generator of ours."""
    params = chain.sample(data.shape[0], data.shape[-1], device=data.device, generator=generator)
    changed = cast("Augmented", chain.apply(data, params, lengths, targets))  # as targets went in
    return changed.waveform, targets if changed.targets is None else changed.targets


def _schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, updates: int) -> LRScheduler | None:
    if config.schedule == "constant":
        return None
    if config.schedule == "one_cycle":
        return OneCycleLR(optimizer, max_lr=config.lr, total_steps=updates)
    return CosineAnnealingLR(optimizer, T_max=updates)
