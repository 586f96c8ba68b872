"""The phase vocoder: a clip's short-time spectra read faster or slower, and put together again.

    analysis frames    X(0)   X(1)   X(2)   X(3)   X(4)      hop_length apart
    positions at 0.8   ↑    ↑     ↑     ↑     ↑    ↑         k·rate, of output frame k
    output frames      Y(0) Y(1)  Y(2)  Y(3)  Y(4) Y(5)      hop_length apart again

Output frame k lies at position s = k·rate, between the frames i = ⌊s⌋ and i + 1. Its magnitude is interpolated between
theirs; its phase goes on from that of frame k - 1 by as much as the input's does from the frame before to the one
after. As both grids have the same hop, nothing has to be unwrapped:

    |Y(k)| = (1 - α)·|X(i)| + α·|X(i + 1)|,        α = s - i
    arg Y(k) = arg Y(k - 1) + arg X(i' + 1) - arg X(i'),    i' = ⌊(k - 1)·rate⌋

Where i = i' + 1 that sum is arg X(i) plus what has gathered before. So Y(k) has the phase of X(i), turned by a phasor
Q(k) that changes only where the output repeats or skips a frame, by X(i' + 1) · conj X(i) without its magnitude: at
rates from 0.8 to 1.25 in one frame of four at most, and in none at rate 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import is_whole
from tonearm.gpu_augment.functional import blocks

_FRAMES = 512  # at a time on a CPU: a clip of 5 s, whose spectra stay in the last cache


def check_frames(n_fft: object, hop_length: object) -> None:
    """Refuse frames that do not overlap by a half at least, or that are no multiple of their hop.

    Raises:
        RequestError: with what came and what may come.
    """
    if not (is_whole(n_fft, at_least=4) and is_whole(hop_length, at_least=1)) or n_fft % 2:
        raise RequestError(
            f"n_fft, hop_length: got {n_fft!r} and {hop_length!r}, may be an even number, 4 or more, and a whole one."
        )
    if n_fft % hop_length or n_fft < 2 * hop_length:
        raise RequestError(
            f"n_fft, hop_length: got {n_fft} and {hop_length}, n_fft may be 2, 3, 4 … times hop_length; 4 is usual."
        )


def hann_window(n_fft: int, like: Tensor) -> Tensor:
    """(n_fft,) periodic Hann window, of the type and on the device of ``like``."""
    return torch.hann_window(n_fft, dtype=like.dtype, device=like.device)


def count_frames(num_samples: int, *, n_fft: int, hop_length: int) -> int:
    """Frames that reach into a signal, when frame m is centred on sample m · hop_length and m is 0 or more."""
    return (num_samples + n_fft // 2 - 1) // hop_length + 1


def analysis(signal: Tensor, *, n_fft: int, hop_length: int, num_frames: int) -> Tensor:
    """(rows, num_frames, bins) windowed spectra of (rows, time); before and after the signal there is silence."""
    num_samples = (num_frames - 1) * hop_length + n_fft
    padded = F.pad(signal, (n_fft // 2, num_samples - n_fft // 2 - signal.shape[-1]))
    spectra: Tensor = torch.fft.rfft(padded.unfold(-1, n_fft, hop_length) * hann_window(n_fft, signal))
    return spectra


def synthesis(spectra: Tensor, *, n_fft: int, hop_length: int, num_samples: int, lead: int = 0) -> Tensor:
    """(rows, lead + num_samples) from (rows, frames, bins): the signal whose spectra are nearest, by least squares.

    ``lead`` samples come before the first frame's middle. The frames must be those that reach into ``num_samples``.

    Reference:
        Griffin, Lim: Signal estimation from modified short-time Fourier transform, 1984, equation 6.
    """
    overlap, num_frames = n_fft // hop_length, spectra.shape[1]
    window = hann_window(n_fft, spectra.real)
    pieces: Tensor = (torch.fft.irfft(spectra, n=n_fft) * window).unflatten(-1, (overlap, hop_length))
    added = pieces.new_zeros(len(spectra), num_frames + overlap - 1, hop_length)
    for late in range(overlap):
        added[:, late : late + num_frames] += pieces[:, :, late]
    index = torch.arange(num_frames, device=spectra.device).clamp(max=overlap - 1)
    squares = envelope(window, hop_length=hop_length).index_select(0, index)
    kept = slice(n_fft // 2 - lead, n_fft // 2 + num_samples)
    return added[:, :num_frames].flatten(1)[:, kept] / squares.flatten()[kept]


def envelope(window: Tensor, *, hop_length: int) -> Tensor:
    """(n_fft / hop_length, hop_length): what the windows' squares add up to in each hop; later ones are like the last.

    It is 0 in the first sample, half a frame before any that is kept.
    """
    squares: Tensor = window.square().unflatten(0, (-1, hop_length))
    return squares.cumsum(0)


def phase_vocoder(spectra: Tensor, *, positions: Tensor) -> Tensor:
    """Read short-time spectra at other positions, with phases that go on as the input's do.

    A bin that is exactly zero has no phase: it turns nothing, and the frame after it comes in with its own. Its
    gradient is zero. That of a bin that is nearly zero is as large as its magnitude is small, as its phase goes into
    all later frames.

    Args:
        spectra: (rows, frames, bins) complex.
        positions: (rows, output frames) float64, ascending from 0, in frames; past the last one it is held.

    Returns:
        (rows, output frames, bins) like spectra.

    Reference:
        Flanagan, Golden: Phase vocoder, 1966. Laroche, Dolson: Improved phase vocoder time-scale modification of audio,
        1999, section II (this is the plain one, without their phase locking).

    Example:
        >>> spectra = torch.polar(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [0.5]]]))
        >>> between = phase_vocoder(spectra, positions=torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.float64))
        >>> between.abs().flatten(), between.angle().flatten()
        (tensor([1., 2., 3.]), tensor([0.0000, 0.5000, 1.0000]))
    """
    num_rows, num_frames, _ = spectra.shape
    whole = positions.floor()
    weight = (positions - whole).to(spectra.real.dtype)[..., None]
    here = whole.long().clamp_(max=num_frames - 1)
    there = (here + 1).clamp_(max=num_frames - 1)
    first = num_frames * torch.arange(num_rows, device=spectra.device)[:, None]

    def at(rows: Tensor, index: Tensor) -> Tensor:
        selected: Tensor = rows.flatten(0, 1).index_select(0, (first + index).flatten())
        return selected.view(*index.shape, -1)

    own, magnitude = at(spectra, here), spectra.abs()
    own_magnitude = at(magnitude, here)
    steps = at(spectra, there[:, :-1]) * own[:, 1:].conj()
    turning = (there[:, :-1] != here[:, 1:])[..., None] & (steps != 0)
    turns: Tensor = torch.where(turning, torch.where(turning, steps, 1.0).angle(), 0.0)
    # In float64, as ten minutes turn a bin by some ten thousand radians.
    turned = F.pad(turns.double().cumsum(1).remainder_(2 * torch.pi).to(turns.dtype), (0, 0, 1, 0))
    sounding = own_magnitude > 0
    unit = torch.where(sounding, own / torch.where(sounding, own_magnitude, 1.0), 0.0)
    wanted = torch.lerp(own_magnitude, at(magnitude, there), weight)
    read: Tensor = unit * torch.polar(wanted, turned)
    return read


def stretch(
    signal: Tensor,
    *,
    rate: Tensor,
    num_samples: int,
    n_fft: int,
    hop_length: int,
    lead: int = 0,
    gain: Tensor | None = None,
    oversampling: int = 1,
) -> Tensor:
    """Stretch each row by its rate, through the phase vocoder, and maybe onto a finer grid of samples.

    Args:
        signal: (rows, time) float32 or float64, at least one sample; what is no part of a clip must be 0.
        rate: (rows,) float64, above 0; 2 is twice as fast.
        num_samples: of the output at the input's sample rate; what is longer is cut off.
        n_fft: samples of a frame.
        hop_length: samples from frame to frame.
        lead: samples of the output before these, at most n_fft / 2.
        gain: (rows, bins) for the output's spectra.
        oversampling: output samples for each of the input.

    Returns:
        (rows, (lead + num_samples) · oversampling) new tensor.
    """
    num_frames = count_frames(num_samples, n_fft=n_fft, hop_length=hop_length)
    positions = torch.arange(num_frames, dtype=torch.float64, device=signal.device) * rate[:, None]
    # One more, that is silent: positions past the end are held there.
    num_read = count_frames(signal.shape[1], n_fft=n_fft, hop_length=hop_length) + 1
    if blocks.on_cpu(signal) and not (torch.is_grad_enabled() and signal.requires_grad):
        padded = F.pad(signal, (n_fft // 2, (num_read - 1) * hop_length + n_fft // 2 - signal.shape[1]))
        added = _stretch_by_row(padded.unfold(1, n_fft, hop_length), positions, gain=gain, oversampling=oversampling)
        return added[:, oversampling * (n_fft // 2 - lead) : oversampling * (n_fft // 2 + num_samples)]
    spectra = analysis(signal, n_fft=n_fft, hop_length=hop_length, num_frames=num_read)
    spectra = phase_vocoder(spectra, positions=positions)
    if gain is not None:
        spectra = spectra * gain[:, None]
    n_fft, hop_length, num_samples, lead = (oversampling * size for size in (n_fft, hop_length, num_samples, lead))
    return oversampling * synthesis(spectra, n_fft=n_fft, hop_length=hop_length, num_samples=num_samples, lead=lead)


def _stretch_by_row(frames: Tensor, positions: Tensor, *, gain: Tensor | None, oversampling: int) -> Tensor:
    """What :func:`stretch` does from (rows, frames, n_fft) views, on a CPU: some hundred frames at a time.

    Returns:
        (rows, output frames · hop) from half a frame before the first sample on.
    """
    num_rows, num_read, n_fft = frames.shape
    num_frames = positions.shape[1]
    out_fft, hop_length = oversampling * n_fft, oversampling * frames.stride(1)
    overlap = out_fft // hop_length
    window, out_window = hann_window(n_fft, frames), hann_window(out_fft, frames)
    scales = oversampling / envelope(out_window, hop_length=hop_length)
    scales[0, 0] = 0.0
    whole = positions.floor()
    weights = (positions - whole).to(frames.dtype)[..., None]
    all_here = whole.long().clamp_(max=num_read - 1)
    all_there = (all_here + 1).clamp_(max=num_read - 1)
    out = frames.new_zeros(num_rows, num_frames + overlap - 1, hop_length)
    for row, added in enumerate(out):
        phasor = torch.ones_like(window[: n_fft // 2 + 1], dtype=window.dtype.to_complex())
        sounding = int(torch.searchsorted(all_here[row], num_read - 1))  # frames that are not past the end
        for begin in range(0, sounding, _FRAMES):
            end = min(begin + _FRAMES, sounding)
            here, there = all_here[row, begin:end], all_there[row, begin:end]
            before = all_there[row, max(begin, 1) - 1 : end - 1]
            first = min([int(here[0]), *before[:1].tolist()])
            spectra = torch.fft.rfft(frames[row, first : int(there[-1]) + 1] * window)
            read, phasor = _read(spectra, here - first, there - first, before - first, weights[row, begin:end], phasor)
            if gain is not None:
                read *= gain[row]
            pieces = torch.fft.irfft(read, n=out_fft).mul_(out_window).unflatten(1, (overlap, hop_length))
            for late in range(overlap):
                added[begin + late : end + late] += pieces[:, late]
        added[:overlap] *= scales[: len(added)]
        added[overlap:] *= scales[-1]
    return out.flatten(1)


def _read(
    spectra: Tensor, here: Tensor, there: Tensor, before: Tensor, weight: Tensor, phasor: Tensor
) -> tuple[Tensor, Tensor]:
    """Some output frames of :func:`phase_vocoder`, and the phasor that the next ones begin with.

    Args:
        spectra: (frames, bins).
        here: (n,) frame at or before the position of each output frame.
        there: (n,) the one after it.
        before: (n,) ``there`` of the output frame before; (n - 1,) at the clip's beginning.
        weight: (n, 1) of ``there``.
        phasor: (bins,) as of the output frame before.
    """
    power = spectra.real.square().addcmul_(spectra.imag, spectra.imag)
    inverse = power.clamp(min=torch.finfo(power.dtype).tiny).rsqrt_()
    magnitude = power.mul_(inverse)
    factor = magnitude.index_select(0, there).mul_(inverse.index_select(0, here)).mul_(weight).add_(1 - weight)
    new = len(here) - len(before)
    turning = F.pad(before != here[new:], (new, 0))
    changes = turning.nonzero().squeeze(1)
    steps = spectra.index_select(0, before[changes - new]) * spectra.index_select(0, here[changes]).conj()
    units = torch.sgn(steps)
    phasors = torch.cat([phasor[None], units.masked_fill_(units == 0, 1.0)]).cumprod(0)
    read = spectra.index_select(0, here).mul_(phasors.index_select(0, turning.cumsum(0))).mul_(factor)
    return read, torch.sgn(phasors[-1])
