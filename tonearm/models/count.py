"""What a system costs, counted rather than measured: parameters, multi-adds, memory in training.

Everything is computed on torch's meta device: shapes alone, no numbers, so the largest takes no memory to count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from tonearm.models.features import LogMel
from tonearm.models.network import Network, System

_ADAM_COPIES = 4  # of every weight: itself, its gradient, Adam's two moments
_BYTES = 4


@dataclass(frozen=True)
class Costs:
    """Costs of a network.

    Attributes:
        parameters: trainable ones.
        multi_adds: multiplications with an addition of one clip's forward pass, in convolutions, linear layers and
            recurrences; without front-end, norms, activations and pooling, as papers count.
        training_bytes: weights, gradients and Adam's moments, and all that the backward pass needs of the forward pass
            of a whole batch; in float32, without workspace.
    """

    parameters: int
    multi_adds: int
    training_bytes: int


def count_costs(
    system: System, *, duration_seconds: float, batch_size: int = 32, num_classes: int | None = None
) -> Costs:
    """What a system costs for clips of one channel.

    Args:
        system: one of SYSTEMS, for example.
        duration_seconds: of a clip at the system's sample rate.
        batch_size: clips that a training step's memory is counted for.
        num_classes: of the class layer; None: those of the system's source.
    """
    with torch.device("meta"):
        network = system.build(num_classes=num_classes or system.num_classes, n_mels=system.features.n_mels)
    parameters = count_parameters(network)
    kept = _bytes_kept(network, _inputs(system, network, duration_seconds, batch_size=batch_size))
    multi_adds = _multi_adds(system, network, duration_seconds)
    return Costs(parameters, multi_adds, _ADAM_COPIES * _BYTES * parameters + kept)


def count_multi_adds(system: System, *, duration_seconds: float) -> int:
    """``multi_adds`` of :func:`count_costs` alone, which takes half the time."""
    with torch.device("meta"):
        network = system.build(num_classes=system.num_classes, n_mels=system.features.n_mels)
    return _multi_adds(system, network, duration_seconds)


def _multi_adds(system: System, network: Network, duration_seconds: float) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*_inputs(system, network, duration_seconds, batch_size=1))
    return int(counter.get_total_flops()) // 2


def _inputs(system: System, network: Network, duration_seconds: float, *, batch_size: int) -> tuple[Tensor, ...]:
    """What the network hears of clips of one channel, on the meta device."""
    num_samples = round(duration_seconds * system.sample_rate)
    frames = LogMel(system.features, sample_rate=system.sample_rate).frames(num_samples)
    log_mel = torch.empty(batch_size, 1, system.features.n_mels, frames, device="meta")
    if not network.takes_waveform:
        return (log_mel,)
    return log_mel, torch.empty(batch_size, 1, num_samples, device="meta")


def count_parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _bytes_kept(network: Network, inputs: tuple[Tensor, ...]) -> int:
    """Bytes that the backward pass needs, weights left out; what several operations need counts once."""
    storages = {}
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            storages[storage._cdata] = storage  # held, so that no other gets its number
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = network.train()(*inputs)
    del scores
    return sum(storage.nbytes() for storage in storages.values())
