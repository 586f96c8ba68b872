import pytest
import torch

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.padding import keep_padding, silent_padding

LENGTHS = torch.tensor([10, 4, 0, 12])


def clips() -> torch.Tensor:
    return torch.rand(4, 2, 10, generator=torch.Generator().manual_seed(0)) + 1


@pytest.mark.parametrize("whole", [False, True])
def test_samples_beyond_the_lengths_are_kept_or_silent(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    kept, silent = keep_padding(-clips(), clips(), LENGTHS), silent_padding(clips(), LENGTHS)
    for clip, length in enumerate([10, 4, 0, 10]):
        assert torch.equal(kept[clip, :, :length], -clips()[clip, :, :length])
        assert torch.equal(kept[clip, :, length:], clips()[clip, :, length:])
        assert torch.equal(silent[clip, :, :length], clips()[clip, :, :length])
        assert (silent[clip, :, length:] == 0).all()


def test_nothing_is_copied_where_all_is_valid():
    waveform = clips()
    for lengths in (None, torch.full((4,), 10)):
        assert silent_padding(waveform, lengths) is waveform
        assert keep_padding(waveform, clips(), lengths) is waveform


def test_the_input_stays_and_gradients_stop_at_the_length():
    waveform = clips().requires_grad_()
    silent_padding(waveform, LENGTHS).sum().backward()
    assert torch.equal(waveform.grad, silent_padding(torch.ones(4, 2, 10), LENGTHS))
    assert torch.equal(waveform, clips())
