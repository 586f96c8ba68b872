"""Augmentations as plain data and back."""

import json

import numpy as np
import pytest
import torch
import yaml

from tests.gpu_augment.cases import AUGMENTATIONS, PAIR_EFFECTS, bank, batch_for, seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Chain, ClipEffect, DropBlock, Noise, OneOf, SomeOf, SoundBank, from_dict, to_dict
from tonearm.gpu_augment.serialize import known_effects

BANKS = {"bank": bank()}

read_and_written = pytest.mark.parametrize(
    "through", [lambda data: yaml.safe_load(yaml.safe_dump(data)), lambda data: json.loads(json.dumps(data))]
)


@pytest.mark.parametrize("name", [*AUGMENTATIONS, *PAIR_EFFECTS])
@read_and_written
def test_what_is_read_again_is_what_was_written_and_does_the_same(name, through):
    first = (AUGMENTATIONS | PAIR_EFFECTS)[name](0.7)
    again = from_dict(through(to_dict(first)), banks=BANKS)
    assert type(again) is type(first) and to_dict(again) == to_dict(first)
    batch = batch_for(name, 6)
    params = first.sample(6, batch.shape[-1], generator=seeded(1))
    expected, got = (one.apply(batch, params, None, torch.eye(6)).waveform for one in (first, again))
    assert torch.equal(got, expected)


def test_every_effect_is_known_by_its_name():
    known = known_effects()
    assert {"chain", "one_of", "time_shift_stretch", "dropblock", "crop", "low_pass", "background_noise"} <= set(known)
    assert known["dropblock"] is DropBlock
    assert not {"augmentation", "clip_effect", "pair_effect"} & set(known)


def test_compositions_and_short_forms():
    nested = Chain([OneOf([Noise(1.0)], p=0.3, weights=[2]), SomeOf([Noise(), Chain([])], max_effects=1)])
    written = to_dict(nested)
    assert list(written) == ["chain"]
    assert written["chain"]["effects"][0]["one_of"]["weights"] == [2]
    assert to_dict(from_dict(written)) == written
    assert to_dict(from_dict([{"noise": {}}])) == {"chain": {"effects": [to_dict(Noise())]}}
    assert to_dict(from_dict({"chain": {"effects": [[], {"noise": {}}]}}))["chain"]["effects"][0] == to_dict(Chain([]))


def test_the_sample_rate_is_given_to_those_that_need_one_and_are_not_told():
    chain = from_dict([{"reverb": {}}, {"reverb": {"sample_rate": 8000}}, {"noise": {}}], sample_rate=44_100)
    assert [getattr(effect, "sample_rate", None) for effect in chain.effects] == [44_100, 8000, None]


@read_and_written
def test_numbers_of_numpys_are_written_as_numbers(through):
    first = Noise(np.float64(0.25), np.float32(-3), np.int64(9))
    assert through(to_dict(first)) == to_dict(Noise(0.25, -3.0, 9))


def test_what_nests_too_deeply_is_refused():
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    in_itself: list[object] = []
    in_itself.append(in_itself)
    for description in (deep, in_itself):
        with pytest.raises(RequestError, match="^augmentation: nested too deeply, or in itself"):
            from_dict(description)


def test_effects_of_ones_own_can_be_read():
    class Silence(ClipEffect):
        num_parameter_draws = 0

        def __init__(self, p=0.5, *, generator=None):
            super().__init__(p, generator)

        def parameters_from(self, uniforms):
            return uniforms

        def effect(self, clips, parameters, lengths):
            return clips * 0

    assert to_dict(from_dict(to_dict(Silence(0.3)), custom=[Silence])) == {"silence": {"p": 0.3}}
    with pytest.raises(RequestError, match="silence: no such effect"):
        from_dict({"silence": {}})


def test_a_bank_is_told_by_its_name_and_needs_one():
    street = SoundBank([torch.ones(50)], sample_rate=8000, name="street")
    effect = from_dict({"background_noise": {"bank": "street"}}, banks={"street": street})
    assert effect.bank is street and to_dict(effect)["background_noise"]["bank"] == "street"
    with pytest.raises(RequestError, match=r"background_noise\.bank: got 'steet', may be .* Did you mean street\?"):
        from_dict({"background_noise": {"bank": "steet"}}, banks={"street": street})
    with pytest.raises(
        RequestError, match=r"background_noise\.bank: got 3, may be the name of a bank\. There are: none"
    ):
        from_dict({"background_noise": {"bank": 3}})
    nameless = SoundBank([torch.ones(50)], sample_rate=8000)
    effect = from_dict({"background_noise": {"bank": "street"}}, banks={"street": nameless})
    with pytest.raises(RequestError, match="bank: it has no name to be found by again. Give it one"):
        to_dict(effect)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("noise", r"^a: got 'noise', may be one effect with its arguments"),
        (None, r"^a: got None, may be one effect"),
        ({}, r"^a: got \{\}, may be one effect"),
        ({"noise": {}, "reverb": {}}, r"^a: got \{.*\}, may be one effect"),
        ({"nosie": {}}, r"^a\.nosie: no such effect\. Did you mean noise\?"),
        ({"xyz": {}}, r"^a\.xyz: no such effect\. There are: .*chain.*noise"),
        ({3: {}}, r"^a\.3: no such effect"),
        ({"Noise": {}}, r"^a\.Noise: no such effect\. Did you mean"),
        ({"noise": None}, r"^a\.noise: got None, may be arguments and their values"),
        ({"noise": {"snr": 3}}, r"^a\.noise\.snr: no such argument\. "),
        ({"noise": {"min_snr": 3}}, r"^a\.noise\.min_snr: no such argument\. Did you mean min_snr_db"),
        ({"noise": {"generator": 3}}, r"^a\.noise\.generator: no such argument"),
        ({"noise": {"__class__": 3}}, r"^a\.noise\.__class__: no such argument"),
        ({"noise": {3: 3}}, r"^a\.noise\.3: no such argument"),
        ({"noise": {"p": 2}}, r"^a\.noise\.p: got 2, may be a number from 0 to 1"),
        ({"noise": {"max_snr_db": 10**400}}, r"^a\.noise\.min_snr_db, max_snr_db: got 0\.0 and 10*, may be finite"),
        ({"crop": {"num_samples": 2**63}}, r"^a\.crop\.num_samples: got 9\d*, may be a whole number"),
        ({"noise": {"p": "1"}}, r"^a\.noise\.p: got '1', may be"),
        ({"noise": {"p": [0.5]}}, r"^a\.noise\.p: got \(0\.5,\), may be"),
        ({"noise": {"min_snr_db": 9, "max_snr_db": 1}}, r"^a\.noise\.min_snr_db, max_snr_db: got 9 and 1"),
        ({"time_masking": {}}, r"^a\.time_masking\.time_mask_param: is missing and has no default"),
        ({"reverb": {}}, r"^a\.reverb\.sample_rate: is missing"),
        ({"dropblock": {"block_size": [3]}}, r"^a\.dropblock\.block_size: got \(3,\), may be \(mel, time\)"),
        ({"chain": {"effects": {"noise": {}}}}, r"^a\.chain\.effects: got .*, may be a list of effects"),
        (
            [{"noise": {}}, {"one_of": {"effects": [{"noise": {"p": -1}}]}}],
            r"chain\.effects\.1\.one_of\.effects\.0\.noise\.p",
        ),
        ({"one_of": {"effects": [{"crop": {"num_samples": 5}}]}}, r"^a\.one_of\.effects: got Crop, which changes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(description, message):
    with pytest.raises(RequestError, match=message):
        from_dict(description, place="a")
