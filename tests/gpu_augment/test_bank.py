"""What a bank takes, what it refuses, and that it reads alike on every path."""

import copy
import pickle

import numpy as np
import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.functional import blocks


def sounds(*sizes: int) -> list[torch.Tensor]:
    return [torch.randn(size, generator=seeded(size)) for size in sizes]


def test_it_holds_the_sounds_one_after_the_other():
    given = sounds(5, 3, 7)
    bank = SoundBank(given, sample_rate=8000)
    assert bank.num_sounds == 3 and bank.longest == 7 and not bank.full
    assert bank.offsets.tolist() == [0, 5, 8] and bank.lengths.tolist() == bank.host_lengths.tolist() == [5, 3, 7]
    assert torch.equal(bank.samples, torch.cat(given)) and bank.samples.dtype == torch.float32


def test_it_takes_tensors_and_arrays_of_any_float_type_and_averages_channels():
    stereo = torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.0, 0.5]])
    given = [stereo, stereo.numpy().astype(np.float64), stereo.to(torch.bfloat16), stereo.half().numpy()[:, ::-1]]
    bank = SoundBank(iter(given), sample_rate=8000)
    assert bank.samples.tolist() == [2.0, 1.0, 0.5] * 3 + [0.5, 1.0, 2.0]


def test_it_keeps_a_copy():
    tensor, array = torch.ones(3), np.ones(3, np.float32)
    bank = SoundBank([tensor, array], sample_rate=8000)
    tensor.zero_()
    array[:] = 0
    assert bank.samples.tolist() == [1.0] * 6


def test_when_it_is_full_it_says_so_and_asks_for_no_more():
    asked = []

    def stream():
        for number, sound in enumerate(sounds(10, 10, 10, 1, 1)):
            asked.append(number)
            yield sound

    bank = SoundBank(stream(), sample_rate=8000, max_bytes=4 * 25, name="rooms")
    assert asked == [0, 1, 2] and bank.num_sounds == 2 and bank.full
    assert repr(bank) == "SoundBank('rooms': 2 sounds, 0.0025 s at 8000 Hz, 80 bytes, full)"
    exact = SoundBank(sounds(10, 15), sample_rate=8000, max_bytes=4 * 25)
    assert not exact.full and repr(exact) == "SoundBank(2 sounds, 0.003125 s at 8000 Hz, 100 bytes)"


def test_its_buffers_move_but_are_not_saved():
    bank = SoundBank(sounds(5), sample_rate=8000)
    assert not bank.state_dict()
    there = copy.deepcopy(bank).to("meta")
    assert {buffer.device.type for buffer in there.buffers()} == {"meta"} and there.host_lengths.device.type == "cpu"
    with pytest.raises(ShapeError, match=r"bank: on meta, but the batch is on cpu\. Move .* \.to\('cpu'\)"):
        there.check_device(torch.device("cpu"))
    assert torch.equal(pickle.loads(pickle.dumps(bank)).samples, bank.samples)


@pytest.mark.parametrize("loop", [False, True])
def test_reading_by_slices_is_reading_by_one_gather(loop, monkeypatch):
    bank = SoundBank(sounds(5, 300, 7), sample_rate=8000)
    index, start = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([4, 299, 0, 6, 20])
    slices = bank.read(index, start, 40, loop=loop)
    for row, number, first in zip(slices, index.tolist(), start.tolist(), strict=True):
        sound = sounds((5, 300, 7)[number])[0]
        whole = sound.repeat(50) if loop else torch.cat([sound, torch.zeros(50)])
        assert torch.equal(row, whole[first : first + 40])
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(bank.read(index, start, 40, loop=loop), slices)


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        ([], r"waveforms: got none, may be one sound or more"),
        ([torch.ones(3), torch.zeros(3)], r"sound 1: got silence, may be a sound; leave this one out"),
        ([torch.tensor([1.0, float("nan")])], r"sound 0: got NaN or infinite samples, may be finite ones"),
        ([torch.ones(3), np.array([np.inf])], r"sound 1: got NaN or infinite samples"),
        ([np.array([1e300])], r"sound 0: got NaN or infinite samples"),
        ([torch.ones(3).short()], r"sound 0: got torch.int16 samples, may be floating point: int16 divided by 32768"),
        ([np.ones(3, np.int16)], r"sound 0: got int16 samples, may be floating point"),
        ([torch.ones(3, dtype=torch.complex64)], r"sound 0: got torch.complex64 samples, may be floating point"),
        ([torch.ones(1, 1, 3)], r"sound 0: got shape \(1, 1, 3\), may be \(time,\) or \(channel, time\)"),
        ([torch.ones(3, 2)], r"sound 0: got shape \(3, 2\), may be \(time,\) or \(channel, time\)"),
        ([torch.tensor(1.0)], r"sound 0: got shape \(\), may be \(time,\) or"),
        ([torch.ones(0)], r"sound 0: got shape \(0,\), may be one sample or more"),
        ([torch.ones(2, 0)], r"sound 0: got shape \(2, 0\), may be one sample or more"),
        (["a.wav"], r"sound 0: got a str, may be a tensor or an array"),
    ],
)
def test_what_is_no_sound_is_refused_by_its_number(waveforms, message):
    with pytest.raises(RequestError, match=message):
        SoundBank(waveforms, sample_rate=8000)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, r"sample_rate: got 0, may be a whole number, 1 Hz or more"),
        ({"sample_rate": 8000, "max_bytes": 0}, r"max_bytes: got 0, may be a whole number, 4 or more"),
        ({"sample_rate": 8000, "max_bytes": 8}, r"max_bytes: got 8, but sound 0 alone takes 12"),
        ({"sample_rate": 8000, "name": None}, r"name: got None, may be a text"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        SoundBank([torch.ones(3)], **options)


@pytest.mark.parametrize("one", [torch.ones(50), torch.ones(50).numpy(), "room.wav", 3])
def test_one_sound_that_is_not_in_a_list_is_refused(one):
    with pytest.raises(RequestError, match=r"waveforms: got a .*, may be a list of sounds, \[sound\]"):
        SoundBank(one, sample_rate=8000)
    assert SoundBank(torch.ones(3, 50), sample_rate=8000).num_sounds == 3
