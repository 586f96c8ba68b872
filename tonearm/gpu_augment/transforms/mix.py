"""The effects that mix each clip with another of its batch, and their targets; they take (batch, channel, time)."""

import math

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_whole, is_number
from tonearm.gpu_augment.functional.between_class import between_class_mixup
from tonearm.gpu_augment.functional.cutmix import cutmix
from tonearm.gpu_augment.functional.mixup import mixup
from tonearm.gpu_augment.pair_effect import PairEffect


def symmetric_beta(uniforms: Tensor, alpha: float) -> Tensor:
    """From pairs of uniform numbers to numbers of the distribution Beta(alpha, alpha), exactly.

    With ν = 2·alpha, T = √(ν·(U^(-2/ν) - 1)) · cos(2πV) has Student's distribution with ν degrees of freedom (Bailey),
    and ½ + ½·T/√(ν + T²) has Beta(ν/2, ν/2) (Devroye). Put together, without what overflows for a small alpha:

        w = U^(1/alpha),  c = cos(2πV),    λ = ½ + ½·sign(c)·√((1 - w)·c² / (w + (1 - w)·c²))

    Every clip takes two numbers, where methods that reject take an unknown number of them.

    Args:
        uniforms: (batch, 2) float64 in [0, 1).
        alpha: more than 0. 1 is the uniform distribution, a smaller one prefers the ends, a larger one the middle.

    Returns:
        (batch,) float64 in [0, 1].

    Reference:
        Bailey: Polar generation of random variates with the t-distribution, 1994.
        Devroye: Random variate generation in one line of code, 1996.

    Example:
        >>> symmetric_beta(torch.tensor([[0.25, 0.0], [0.25, 0.5]]).double(), 1.0)
        tensor([0.9330, 0.0670], dtype=torch.float64)
    """
    w = uniforms[:, 0].pow(1 / alpha)
    c = torch.cos(2 * math.pi * uniforms[:, 1])
    reach = (1 - w) * c.square()
    return 0.5 + 0.5 * torch.sign(c) * torch.sqrt(reach / (w + reach))


def _check_alpha(alpha: object) -> None:
    if not (is_number(alpha) and 0.0 < alpha < math.inf):
        raise RequestError(f"alpha: got {alpha!r}, may be a finite number above 0.")


class Mixup(PairEffect):
    """Add to each clip another of its batch, at weights λ and 1 - λ from Beta(alpha, alpha); targets likewise.

    See :func:`~tonearm.gpu_augment.functional.mixup`.

    Args:
        p: probability of a clip to be touched.
        alpha: above 0; 1 makes λ uniform, a smaller one leaves one of both clips nearly alone.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Zhang, Cissé, Dauphin, Lopez-Paz: mixup: Beyond empirical risk minimization, 2018. λ there is one for the batch
        and partners are a permutation of it; here each clip has its own.
    """

    num_parameter_draws = 2

    def __init__(self, p: float = 1.0, *, alpha: float = 1.0, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator)
        _check_alpha(alpha)
        self.alpha = alpha

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """λ, the clip's own weight."""
        return symmetric_beta(uniforms, self.alpha)[:, None]

    def mix(
        self,
        clips: Tensor,
        partners: Tensor,
        parameters: Tensor,
        lengths: Tensor | None,
        partner_lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The weighted sums, and 1 - λ."""
        weight = parameters[:, 0]
        mixed = mixup(clips, partners, weight=weight, lengths=lengths, partner_lengths=partner_lengths)
        return mixed, 1 - weight


class BetweenClassMixup(PairEffect):
    """Mix each clip with another of its batch so that both are *heard* in the ratio of their targets.

    The ratio is uniform over [0, 1). See :func:`~tonearm.gpu_augment.functional.between_class_mixup`; it costs FFTs of
    both clips.

    Args:
        p: probability of a clip to be touched.
        sample_rate: of the waveform, in Hz.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Tokozume, Ushiku, Harada: Learning from between-class examples for deep sound recognition, 2018. Partners there
        are of another class; here any other clip of the batch may be one.
    """

    num_parameter_draws = 1

    def __init__(self, p: float = 1.0, *, sample_rate: int, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        self.sample_rate = sample_rate

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The clip's own share."""
        return uniforms

    def mix(
        self,
        clips: Tensor,
        partners: Tensor,
        parameters: Tensor,
        lengths: Tensor | None,
        partner_lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The mixed clips, and one less the ratio."""
        ratio = parameters[:, 0]
        mixed = between_class_mixup(
            clips,
            partners,
            ratio=ratio,
            sample_rate=self.sample_rate,
            lengths=lengths,
            partner_lengths=partner_lengths,
        )
        return mixed, 1 - ratio


class CutMix(PairEffect):
    """Replace a random interval of each clip by the same interval of another of its batch; targets by its share.

    The share of the interval is from Beta(alpha, alpha), its place uniform over those where it fits: it is never cut
    off. With lengths it is a share of the longer of both clips. See :func:`~tonearm.gpu_augment.functional.cutmix`.

    Args:
        p: probability of a clip to be touched.
        alpha: above 0; 1 makes the share uniform.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Yun et al.: CutMix, 2019. There the rectangle's centre is uniform, and borders cut it off.
    """

    num_parameter_draws = 3

    def __init__(self, p: float = 1.0, *, alpha: float = 1.0, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator)
        _check_alpha(alpha)
        self.alpha = alpha

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The interval's share of the clip, and its place among those where it fits, as a fraction."""
        return torch.stack([symmetric_beta(uniforms[:, :2], self.alpha), uniforms[:, 2]], dim=1)

    def mix(
        self,
        clips: Tensor,
        partners: Tensor,
        parameters: Tensor,
        lengths: Tensor | None,
        partner_lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The joined clips, and the share that whole samples make of the interval."""
        share, place = parameters.unbind(1)
        size = torch.full_like(share, clips.shape[-1])
        if lengths is not None and partner_lengths is not None:
            size = torch.maximum(lengths, partner_lengths).to(share.dtype)
        width = (share * size).round()
        start = (place * (size - width + 1)).floor()
        mixed = cutmix(
            clips,
            partners,
            start=start.long(),
            width=width.long(),
            lengths=lengths,
            partner_lengths=partner_lengths,
        )
        return mixed, width / size.clamp(min=1)
