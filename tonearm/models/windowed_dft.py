"""The window of a transform, and the windowed transform written out as rows of cosines and sines."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Window = Literal["hann", "hamming"]

_RAISED = {"hann": 0.5, "hamming": 0.54}  # a - (1 - a)·cos: how high the cosine stands


def centred_window(name: Window, *, win_length: int, n_fft: int) -> NDArray[np.float64]:
    """A periodic window in the middle of ``n_fft`` samples, zero around it.

    Args:
        name: "hann" or "hamming".
        win_length: samples of the window, at most ``n_fft``.
        n_fft: samples in all.

    Returns:
        (n_fft,)

    Reference:
        Harris: On the use of windows for harmonic analysis with the discrete Fourier transform, Proceedings of the
        IEEE 66(1), 1978.
    """
    raised = _RAISED[name]
    window = raised - (1 - raised) * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    before = (n_fft - win_length) // 2
    return np.pad(window, (before, n_fft - win_length - before))


def windowed_dft(window: NDArray[np.float64], *, bins: range) -> Tensor:
    """The windowed transform as weights of a convolution: its stride is the hop.

    It has no complex numbers and no transform, only products and sums, which every format of exported models knows;
    and takes several times as long as torch.stft on a CPU.

    Args:
        window: (n_fft,)
        bins: those that are wanted.

    Returns:
        (2·len(bins), 1, n_fft) float32: first the rows of the real parts, then those of the imaginary parts.
    """
    n_fft = len(window)
    # k·n modulo n_fft: the same angles, but none so large that its cosine loses digits
    angles = (np.outer(np.asarray(bins), np.arange(n_fft)) % n_fft) * (2 * np.pi / n_fft)
    rows = np.concatenate([np.cos(angles), -np.sin(angles)]) * window
    return torch.from_numpy(rows[:, None].astype(np.float32))
