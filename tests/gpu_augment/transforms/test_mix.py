"""What the mixing effects draw, what they do to targets and lengths, and what they refuse."""

import pytest
import scipy.stats
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import BetweenClassMixup, CutMix, Mixup
from tonearm.gpu_augment.functional import between_class_mixup, cutmix, mixup
from tonearm.gpu_augment.transforms.mix import symmetric_beta

CLIPS = 20_000
UNLIKELY = 1e-4  # a true null hypothesis is rejected that seldom; the seeds are fixed


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:-1]  # the last one draws the partner


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 8.0, 100.0])
def test_beta_is_scipys(alpha):
    weight = symmetric_beta(torch.rand(CLIPS, 2, dtype=torch.float64, generator=seeded(0)), alpha)
    assert scipy.stats.kstest(weight, scipy.stats.beta(alpha, alpha).cdf).pvalue > UNLIKELY


def test_a_beta_that_lies_at_the_ends_is_scipys_too():
    """A twelfth of Beta(0.05, 0.05) is nearer to 1 than any other float64, so only some places are compared."""
    weight = symmetric_beta(torch.rand(CLIPS, 2, dtype=torch.float64, generator=seeded(0)), 0.05)
    for place in (1e-12, 1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6):
        expected = scipy.stats.beta(0.05, 0.05).cdf(place)
        assert (weight <= place).double().mean().item() == pytest.approx(expected, abs=5 * 0.5 / CLIPS**0.5)


@pytest.mark.parametrize("alpha", [1e-3, 0.05, 1.0, 1e4])
def test_beta_is_finite_at_the_ends_of_its_numbers(alpha):
    ends = torch.tensor([0.0, 5e-324, 1e-17, 0.25, 0.5, 0.75, 1 - 2**-53], dtype=torch.float64)
    weight = symmetric_beta(torch.cartesian_prod(ends, ends), alpha)
    assert torch.isfinite(weight).all() and weight.min() >= 0 and weight.max() <= 1


def test_what_is_drawn_is_distributed_as_said():
    for column, distribution in [
        (drawn(Mixup(alpha=0.4))[:, 0], scipy.stats.beta(0.4, 0.4)),
        (drawn(BetweenClassMixup(sample_rate=8000))[:, 0], scipy.stats.uniform()),
        (drawn(CutMix())[:, 0], scipy.stats.uniform()),
        (drawn(CutMix(alpha=3.0))[:, 0], scipy.stats.beta(3.0, 3.0)),
        (drawn(CutMix())[:, 1], scipy.stats.uniform()),
    ]:
        assert scipy.stats.kstest(column, distribution.cdf).pvalue > UNLIKELY


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([900, 900, 500, 10, 1, 0])
    return torch.randn(6, 2, 900, generator=seeded(1)), lengths, torch.eye(6)


def partners_of(params) -> torch.Tensor:
    step = params.steps[0]
    return (step.clips + 1 + (step.rows[:, -1] * 5).long()) % 6


@pytest.mark.parametrize("with_lengths", [False, True])
def test_they_are_their_functions_with_the_columns_they_drew(with_lengths):
    waveform, lengths, targets = batch()
    for effect in (Mixup(), BetweenClassMixup(sample_rate=1000), CutMix()):
        params = effect.sample(6, 900, generator=seeded(2))
        partner, row = partners_of(params), params.steps[0].rows[:, 1:]
        pair = (waveform, waveform[partner])
        given = {"lengths": lengths, "partner_lengths": lengths[partner]} if with_lengths else {}
        if isinstance(effect, Mixup):
            expected, share = mixup(*pair, weight=row[:, 0], **given), 1 - row[:, 0]
        elif isinstance(effect, BetweenClassMixup):
            expected = between_class_mixup(*pair, ratio=row[:, 0], sample_rate=1000, **given)
            share = 1 - row[:, 0]
        else:
            size = torch.maximum(lengths, lengths[partner]) if with_lengths else torch.full((6,), 900)
            width = (row[:, 0] * size).round().long()
            start = (row[:, 1] * (size - width + 1)).long()
            expected, share = cutmix(*pair, start=start, width=width, **given), width / size.clamp(min=1)
        out = effect.apply(waveform, params, lengths if with_lengths else None, targets)
        torch.testing.assert_close(out.waveform, expected, rtol=0, atol=1e-6)  # blocks of other sizes round otherwise
        wanted = (1 - share[:, None]) * targets + share[:, None] * targets[partner]
        torch.testing.assert_close(out.targets, wanted.float())
        if with_lengths:
            assert torch.equal(out.lengths, torch.maximum(lengths, lengths[partner]))


def test_the_share_in_the_targets_is_the_share_of_samples_that_were_replaced():
    clips = torch.arange(8.0)[:, None, None].expand(8, 1, 13)
    out = CutMix(generator=seeded(0))(clips, None, torch.eye(8))
    replaced = (out.waveform != clips).double().mean(dim=(1, 2))
    torch.testing.assert_close(1 - out.targets.diagonal().double(), replaced, rtol=0, atol=1e-7)


def test_every_interval_fits_and_both_ends_are_reached():
    clips = torch.arange(2000.0)[:, None, None].expand(2000, 1, 20)
    changed = (CutMix(generator=seeded(0))(clips, None, torch.ones(2000, 1)).waveform != clips)[:, 0]
    runs = (changed[:, 1:] & ~changed[:, :-1]).sum(dim=1) + changed[:, 0]
    assert runs.max() == 1 and changed[:, 0].any() and changed[:, -1].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixup(2.0), r"p: got 2.0, may be a number from 0 to 1"),
        (lambda: Mixup(alpha=0.0), r"alpha: got 0.0, may be a finite number above 0"),
        (lambda: Mixup(alpha="1"), r"alpha: got '1', may be a finite number above 0"),
        (lambda: CutMix(alpha=float("inf")), r"alpha: got inf, may be a finite number above 0"),
        (lambda: BetweenClassMixup(sample_rate=0), r"sample_rate: got 0, may be a whole number, 1 Hz or more"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
