"""Chains and choices: who is touched by what, and from which numbers."""

import pytest
import torch

from tests.gpu_augment.cases import batch_for, seeded
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment import Chain, ClipEffect, Crop, Noise, OneOf, Reverb, SomeOf, TimeShiftStretch

CLIPS = 20_000


class Add(ClipEffect):
    """Adds a number of its own, so that the sum tells which members a clip has met."""

    num_parameter_draws = 0

    def __init__(self, number: float, p: float = 1.0):
        super().__init__(p, None)
        self.number = number

    def parameters_from(self, uniforms):
        return uniforms

    def effect(self, clips, parameters, lengths):
        return clips + self.number


class Double(Add):
    def effect(self, clips, parameters, lengths):
        return clips * self.number


def outcomes(augmentation, clips: int = CLIPS) -> torch.Tensor:
    """What became of silent clips of one sample."""
    return augmentation(torch.zeros(clips, 1, 1)).flatten()


def shares(values: torch.Tensor) -> dict[float, float]:
    found, counts = values.unique(return_counts=True)
    return {value: count / len(values) for value, count in zip(found.tolist(), counts.tolist(), strict=True)}


def close(probability: float) -> object:
    """Within 4.5 standard deviations of a binomial share."""
    return pytest.approx(probability, abs=4.5 * (probability * (1 - probability) / CLIPS) ** 0.5)


def test_one_of_gives_each_clip_one_member_equally_often():
    got = shares(outcomes(OneOf([Add(1), Add(10), Add(100)], generator=seeded(0))))
    assert got == {1.0: close(1 / 3), 10.0: close(1 / 3), 100.0: close(1 / 3)}


def test_one_of_weighs_its_members_and_may_choose_none():
    got = shares(outcomes(OneOf([Add(1), Add(10), Add(100)], p=0.6, weights=[3, 0, 1], generator=seeded(0))))
    assert got == {0.0: close(0.4), 1.0: close(0.45), 100.0: close(0.15)}


@pytest.mark.parametrize("weights", [[3e-50, 1e-50], [3e40, 1e40], [3, 1]])
def test_weights_count_only_beside_each_other(weights):
    assert shares(outcomes(OneOf([Add(1), Add(10)], weights=weights, generator=seeded(0)))) == {
        1.0: close(0.75),
        10.0: close(0.25),
    }


def test_members_may_come_from_an_iterator():
    for composition in (Chain, OneOf, SomeOf):
        assert len(composition(Add(number) for number in (1, 2)).effects) == 2


def test_a_chosen_member_still_asks_its_own_p():
    got = shares(outcomes(OneOf([Add(1, p=0.5), Add(10)], generator=seeded(0))))
    assert got == {0.0: close(0.25), 1.0: close(0.25), 10.0: close(0.5)}


def test_one_of_chains_gives_a_clip_all_or_nothing_of_a_chain():
    got = shares(outcomes(OneOf([Chain([Add(1), Add(2)]), Add(10)], generator=seeded(0))))
    assert got == {3.0: close(0.5), 10.0: close(0.5)}


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (2, 2, {11.0: 1 / 3, 101.0: 1 / 3, 110.0: 1 / 3}),
        (1, 1, {1.0: 1 / 3, 10.0: 1 / 3, 100.0: 1 / 3}),
        (3, 3, {111.0: 1.0}),
        (0, 1, {0.0: 1 / 2, 1.0: 1 / 6, 10.0: 1 / 6, 100.0: 1 / 6}),
        (2, None, {11.0: 1 / 6, 101.0: 1 / 6, 110.0: 1 / 6, 111.0: 1 / 2}),
    ],
)
def test_some_of_gives_each_clip_a_selection_without_repeats(least, most, expected):
    some = SomeOf([Add(1), Add(10), Add(100)], min_effects=least, max_effects=most, generator=seeded(0))
    assert shares(outcomes(some)) == {value: close(share) for value, share in expected.items()}


def test_some_of_keeps_the_order_of_the_list():
    assert shares(outcomes(SomeOf([Add(1), Double(5)], min_effects=2))) == {5.0: 1.0}
    assert shares(outcomes(SomeOf([Double(5), Add(1)], min_effects=2))) == {1.0: 1.0}


def test_some_of_leaves_clips_alone_with_its_p():
    assert shares(outcomes(SomeOf([Add(1)], p=0.3, generator=seeded(0)))) == {0.0: close(0.7), 1.0: close(0.3)}


def test_choices_nest():
    inner = SomeOf([Add(1), Add(2)], min_effects=2)
    got = shares(outcomes(Chain([OneOf([inner, Add(10)], generator=seeded(1)), Add(100)], generator=seeded(0))))
    assert got == {103.0: close(0.5), 110.0: close(0.5)}


@pytest.mark.parametrize("choice", [OneOf, SomeOf])
def test_a_choice_in_eval_mode_within_a_chain_is_passed_over(choice):
    chain = Chain([choice([Add(1)]), Add(10)])
    chain.effects[0].training = False  # it alone: its members still train
    assert shares(outcomes(chain, 50)) == {10.0: 1.0}


@pytest.mark.parametrize("choice", [OneOf, SomeOf])
def test_members_run_with_the_parameters_they_would_draw_themselves(choice):
    """With one member, a choice is that member on the clips it is given."""
    batch = batch_for("Noise", 8)
    params = choice([Noise(1.0)], generator=seeded(3)).sample(8, 1000)
    assert len(params.steps) == 1
    assert torch.equal(choice([Noise(1.0)]).apply(batch, params), Noise(1.0).apply(batch, params))


def test_what_cannot_be_a_member_is_refused():
    for composition in (OneOf, SomeOf, Chain):
        with pytest.raises(RequestError, match="effects: got a Dropout, may be augmentations"):
            composition([torch.nn.Dropout()])
    for choice in (OneOf, SomeOf):
        with pytest.raises(RequestError, match="effects: got none, may be one augmentation or more"):
            choice([])
        with pytest.raises(RequestError, match="effects: got Crop, which changes the shape"):
            choice([Crop(100), Noise()])
        with pytest.raises(RequestError, match="effects: got Chain, which changes the shape"):
            choice([Chain([Noise(), Crop(100)])])
        with pytest.raises(RequestError, match=r"p: got 2, may be a number from 0 to 1"):
            choice([Noise()], p=2)


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 2, 3], [0, 0], [1, -1], [1, float("inf")], [1, "2"], 3, [1, float("nan")], [1e308, 1e308], [10**400, 1]],
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(RequestError, match=r"weights: got .*, may be 2 finite numbers, one a member"):
        OneOf([Noise(), Reverb(sample_rate=8000)], weights=weights)


@pytest.mark.parametrize(("least", "most"), [(2, 1), (-1, 1), (0, 3), (1.5, 2), (3, None), (1, "2"), (True, 2)])
def test_counts_that_do_not_fit_are_refused(least, most):
    with pytest.raises(RequestError, match=r"min_effects, max_effects: got .* <= 2, the number of members"):
        SomeOf([Noise(), TimeShiftStretch()], min_effects=least, max_effects=most)


def test_params_of_another_choice_are_refused():
    waveform = torch.zeros(2, 1, 100)
    with pytest.raises(ShapeError, match=r"drawn for Noise \+ TimeShiftStretch, but this is TimeShiftStretch \+ Noise"):
        OneOf([TimeShiftStretch(), Noise()]).apply(waveform, OneOf([Noise(), TimeShiftStretch()]).sample(2, 100))
