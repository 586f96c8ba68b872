"""Chains from a configuration: every effect by its name, every mistake with its place."""

import pytest

from tonearm.config import Config
from tonearm.errors import RequestError
from tonearm.gpu_augment import Chain
from tonearm.strict_model import check
from tonearm.training.augmentation import build_chains, with_every_argument


def config(**augmentation: object) -> Config:
    return check(Config, {"model": {"blocks": [{"fc": 8}]}, "augmentation": augmentation}, where="t")


def test_effects_come_in_the_order_of_the_lists_with_their_arguments() -> None:
    settings = config(
        waveform=[{"noise": {"p": 0.1}}, {"reverb": {}}, {"one_of": {"effects": [{"noise": {}}]}}, {"noise": {"p": 1}}],
        specgram=[{"dropblock": {"block_size": [2, 3]}}],
    )
    waveform, specgram = build_chains(settings.augmentation, sample_rate=8000)
    assert [type(effect).__name__ for effect in waveform.effects] == ["Noise", "Reverb", "OneOf", "Noise"]
    assert [waveform.effects[0].p, waveform.effects[3].p] == [0.1, 1]
    assert waveform.effects[1].sample_rate == 8000
    assert isinstance(specgram, Chain) and specgram.effects[0].block_size == (2, 3)


@pytest.mark.parametrize(
    ("kind", "entry", "message"),
    [
        ("waveform", {"nosie": {}}, r"^augmentation\.waveform\.0\.nosie: no such effect\. Did you mean noise"),
        ("waveform", {"noise": {"snr": 2}}, r"^augmentation\.waveform\.0\.noise\.snr: no such argument"),
        ("waveform", {"noise": {"p": 2}}, r"^augmentation\.waveform\.0\.noise\.p: got 2, may be a number from 0 to 1"),
        ("waveform", {"noise": {"min_snr_db": 9, "max_snr_db": 3}}, r"noise\.min_snr_db, max_snr_db: got 9 and 3"),
        ("waveform", {"time_masking": {"time_mask_param": 3}}, r"waveform\.0\.time_masking: does not take a waveform"),
        ("specgram", {"noise": {}}, r"specgram\.0\.noise: does not take a specgram; put it into the other list"),
        ("specgram", {"time_masking": {}}, r"specgram\.0\.time_masking\.time_mask_param: is missing"),
        ("specgram", {"dropblock": {"block_size": [3]}}, r"block_size: got \(3,\), may be \(mel, time\)"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(kind: str, entry: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        build_chains(config(**{kind: [entry]}).augmentation, sample_rate=8000)


def test_every_argument_is_written_out_and_does_the_same() -> None:
    short = config(waveform=[{"reverb": {}}, {"one_of": {"effects": [{"reverb": {"sample_rate": 8000}}]}}])
    told, untold = (with_every_argument(short, sample_rate=rate) for rate in (44_100, None))
    reverb, one_of = told.augmentation.waveform
    assert reverb.arguments["sample_rate"] == 44_100 and reverb.arguments["max_rt60_seconds"] == 1.0
    assert one_of.arguments["effects"][0]["reverb"]["sample_rate"] == 8000
    assert "sample_rate" not in untold.augmentation.waveform[0].arguments
    assert untold.augmentation.waveform[1] == one_of
    assert with_every_argument(told, sample_rate=8000) == told
