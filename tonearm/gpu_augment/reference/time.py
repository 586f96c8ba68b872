"""Moving and stretching, sample by sample."""

from tonearm.gpu_augment.reference.array import Array


def time_shift_stretch(clip: Array, *, cut_out: float, cut_in: float, length: int) -> Array:
    """Both parts of a clip that is cut at cut_out·length in the output and at cut_in·length in the input."""
    b, a = cut_out * length, cut_in * length
    stretched = clip.copy()
    for t in range(length):
        position = t * a / b if t < b else a + (t - b) * (length - a) / (length - b)
        before = min(int(position), length - 1)
        after = min(before + 1, length - 1)  # the last sample is held
        weight = position - before
        stretched[:, t] = (1 - weight) * clip[:, before] + weight * clip[:, after]
    return stretched
