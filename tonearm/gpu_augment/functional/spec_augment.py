"""SpecAugment: bands of time and of frequency covered together, in one pass over the map."""

from torch import Tensor

from tonearm.gpu_augment.functional.layout import check_specgram
from tonearm.gpu_augment.functional.masking import Fill, cover


def spec_augment(
    specgram: Tensor,
    *,
    freq_start: Tensor,
    freq_width: Tensor,
    time_start: Tensor,
    time_width: Tensor,
    fill: Fill = "mean",
) -> Tensor:
    """Cover bands of bins and bands of frames, over all channels.

    It is :func:`frequency_mask` followed by :func:`time_mask`, but that both fill with the mean of the map before
    *any* masking, where a second effect would take the mean of what the first one left.

    Args:
        specgram: (batch, channel, mel, time), floating point.
        freq_start: (batch, num_freq_masks) first bin of each mask of frequency.
        freq_width: (batch, num_freq_masks) bins of each; 0 covers nothing.
        time_start: (batch, num_time_masks) first frame of each mask of time.
        time_width: (batch, num_time_masks) frames of each; 0 covers nothing.
        fill: a value, or "mean": the clip's mean before masking. In a log-mel map 0 is no silence but, at 0 dB, loud.

    Returns:
        A new tensor like specgram.

    Raises:
        ShapeError: specgram is not (batch, channel, mel, time) floating point.

    Reference:
        Park et al.: SpecAugment, 2019, without its time warping, which the authors found to matter least.

    Example:
        >>> import torch
        >>> first, one = torch.tensor([[0]]), torch.tensor([[1]])
        >>> bands = {"freq_start": first, "freq_width": one, "time_start": one, "time_width": one}
        >>> spec_augment(torch.ones(1, 1, 2, 3), **bands, fill=0.0)
        tensor([[[[0., 0., 0.],
                  [1., 0., 1.]]]])
    """
    check_specgram(specgram)
    return cover(specgram, mel=(freq_start, freq_width), time=(time_start, time_width), fill=fill)
