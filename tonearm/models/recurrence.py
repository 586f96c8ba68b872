"""GRU and LSTM layers for clips of any length, which torch.compile and torch.export take whole.

torch's own nn.GRU and nn.LSTM break a compiled graph, and an exported one is fixed to the number of frames that was
seen first. Here the layer has two forms of equal results: torch's kernels, cuDNN's on a GPU, which compiled graphs take
as well, and in an exported program torch's ``scan`` over the frames, which needs no tonearm to be run and is known to
ONNX. Inductor unrolls the kernels frame by frame: minutes of compiling already at 30 frames, so compile without it, or
what stands before. It cannot differentiate an LSTM on a CPU (torch 2.14).
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # no public name yet
from torch.nn import functional

from tonearm.models.full_precision import full_precision
from tonearm.models.recomputing import Recomputed


class Recurrence(Recomputed, nn.RNNBase):
    """One recurrent layer over frames, always in float32, also under autocast: errors add up from frame to frame.

    Weights, their names and their start are nn.GRU's and nn.LSTM's.

    Args:
        mode: GRU or LSTM.
        in_features: of a frame.
        hidden_size: of each direction's state.
        bidirectional: a second one runs from the end to the beginning.
        initial_state: every entry of the state (of both an LSTM's) before the first frame.
    """

    def __init__(
        self,
        mode: Literal["GRU", "LSTM"],
        in_features: int,
        hidden_size: int,
        *,
        bidirectional: bool = False,
        initial_state: float = 0.0,
    ) -> None:
        super().__init__(mode, in_features, hidden_size, batch_first=True, bidirectional=bidirectional)
        self.initial_state = initial_state

    @property
    def out_features(self) -> int:
        """Of a frame that comes out."""
        return self.hidden_size * (2 if self.bidirectional else 1)

    def compute(self, frames: Tensor) -> Tensor:
        """The state after each frame: (batch, time, in_features) to (batch, time, out_features) float32.

        The forward direction's entries stand first.
        """
        with full_precision(frames):
            frames = frames.float()
            directions = 2 if self.bidirectional else 1
            state = frames.new_full((directions, frames.shape[0], self.hidden_size), self.initial_state)
            if not torch.compiler.is_exporting():
                both = (*self._weights_of(""), *(self._weights_of("_reverse") if self.bidirectional else ()))
                if frames.device.type == "meta":
                    return _shapes(frames, both, self.hidden_size)
                return _kernel(frames, state, both, self.mode, train=self.training)
            forward = _scan(frames, state[0], self._weights_of(""), self.mode)
            if not self.bidirectional:
                return forward
            backward = _scan(frames.flip(1), state[1], self._weights_of("_reverse"), self.mode)
            return torch.cat((forward, backward.flip(1)), dim=2)

    def _weights_of(self, direction: str) -> tuple[Tensor, ...]:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return tuple(getattr(self, name + direction) for name in names)


def _kernel(frames: Tensor, state: Tensor, weights: tuple[Tensor, ...], mode: str, *, train: bool) -> Tensor:
    """torch's own, of one direction or, with twice the weights, of both."""
    options = (weights, True, 1, 0.0, train, len(weights) > 4, True)  # biases, layers, dropout, …, batch first
    out: Tensor = (
        torch.gru(frames, state, *options)[0] if mode == "GRU" else torch.lstm(frames, [state] * 2, *options)[0]
    )
    return out


def _shapes(frames: Tensor, weights: tuple[Tensor, ...], hidden_size: int) -> Tensor:
    """What the kernel gives where there are shapes alone: the same products, of all frames at once, to be counted."""
    directions = []
    for weight_ih, weight_hh, bias_ih, bias_hh in (weights[:4], weights[4:])[: len(weights) // 4]:
        arriving = functional.linear(frames, weight_ih, bias_ih)
        gates = arriving + functional.linear(arriving[..., :hidden_size], weight_hh, bias_hh)
        directions.append(gates.tanh()[..., :hidden_size] * gates.sigmoid()[..., -hidden_size:])
    return torch.cat(directions, dim=2)


def _scan(frames: Tensor, state: Tensor, weights: tuple[Tensor, ...], mode: str) -> Tensor:
    """One direction, frame by frame, without gradients: an exported program scores."""
    weight_ih, weight_hh, bias_ih, bias_hh = (weight.detach() for weight in weights)
    hidden = weight_hh.shape[1]
    arriving = functional.linear(frames.detach(), weight_ih, bias_ih).transpose(0, 1)

    def gru(state: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        reset, update, new = frame.split(hidden, dim=1)
        kept_reset, kept_update, kept_new = functional.linear(state, weight_hh, bias_hh).split(hidden, dim=1)
        candidate = torch.tanh(new + torch.sigmoid(reset + kept_reset) * kept_new)
        state = candidate + torch.sigmoid(update + kept_update) * (state - candidate)
        return state, state.clone()

    def lstm(states: tuple[Tensor, Tensor], frame: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        state, cell = states
        write, keep, new, read = (frame + functional.linear(state, weight_hh, bias_hh)).split(hidden, dim=1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
        state = torch.sigmoid(read) * torch.tanh(cell)
        return (state, cell), state.clone()

    step: Callable[..., tuple[Any, Any]] = gru if mode == "GRU" else lstm
    _, states = scan(step, state if mode == "GRU" else (state, state.clone()), arriving, dim=0)
    out: Tensor = states.transpose(0, 1)
    return out
