"""What an effect of one's own may rely on, however its clips are cut into parts."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.gpu_augment.cases import seeded
from tonearm.gpu_augment import Chain, ClipEffect, PairEffect
from tonearm.gpu_augment.functional import blocks

parts = pytest.mark.parametrize("clips_bytes", [4 << 20, 2 * 4 * 100])  # one of all clips, or of two each


class Learned(ClipEffect):
    """A gain that is learned."""

    num_parameter_draws = 0

    def __init__(self, p: float = 1.0):
        super().__init__(p, None)
        self.gain = nn.Parameter(torch.tensor(2.0))

    def effect(self, clips, parameters, lengths):
        return clips * self.gain


class Doubled(ClipEffect):
    """Multiplies by what it drew, which is float64."""

    num_parameter_draws = 1

    def __init__(self, p: float = 1.0):
        super().__init__(p, None)

    def effect(self, clips, parameters, lengths):
        return clips.double() * parameters[:, :1, None]


class DoubledPair(PairEffect):
    num_parameter_draws = 0

    def __init__(self, p: float = 1.0):
        super().__init__(p, None)

    def parameters_from(self, uniforms):
        return uniforms

    def mix(self, clips, partners, parameters, lengths, partner_lengths):
        return clips.double() + partners, torch.full((len(clips),), 0.5, dtype=torch.float64)


class Smoothed(ClipEffect):
    """A convolution, which autocast has in bfloat16."""

    num_parameter_draws = 0

    def __init__(self, p: float = 1.0):
        super().__init__(p, None)

    def effect(self, clips, parameters, lengths):
        return functional.conv1d(clips, torch.full((1, 1, 3), 1 / 3), padding=1)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@parts
def test_what_an_effect_learns_gets_its_gradient(clips_bytes, two_threads, monkeypatch):
    monkeypatch.setattr(blocks, "CLIPS_BYTES", clips_bytes)
    waveform = torch.randn(8, 1, 100, generator=seeded(0))
    for p, place in ((1.0, 0), (0.5, 1)):
        effect = Learned(p)
        chain = Chain([ClipEffectOff(), effect] if place else [effect, ClipEffectOff()])
        params = chain.sample(8, 100, generator=seeded(2))
        chain.apply(waveform, params).sum().backward()
        on = params.steps[place].clips
        assert 0 < len(on) <= 8
        torch.testing.assert_close(effect.gain.grad, waveform[on].sum())


class ClipEffectOff(Doubled):
    """Leaves all as they are."""

    def __init__(self):
        super().__init__(0.0)


@parts
@pytest.mark.parametrize("gather_sizes", [None, (8,)])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_what_comes_out_in_another_precision_goes_back_to_the_batchs(clips_bytes, gather_sizes, p, monkeypatch):
    monkeypatch.setattr(blocks, "CLIPS_BYTES", clips_bytes)
    waveform = torch.randn(8, 1, 100, generator=seeded(0))
    for whole in (False, True):
        monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
        for effect in (Doubled(p), DoubledPair(p)):
            params = effect.sample(8, 100, generator=seeded(1), gather_sizes=gather_sizes)
            out = effect.apply(waveform, params, None, torch.eye(8)).waveform
            assert out.dtype == torch.float32 and not torch.equal(out, waveform)


def test_autocast_reaches_every_part(two_threads, monkeypatch):
    waveform = torch.randn(8, 1, 100, generator=seeded(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole = Smoothed().apply(waveform, Smoothed().sample(8, 100))
        monkeypatch.setattr(blocks, "CLIPS_BYTES", 2 * 4 * 100)
        in_parts = Smoothed().apply(waveform, Smoothed().sample(8, 100))
    assert torch.equal(in_parts, whole)
    assert not torch.equal(Smoothed()(waveform), whole)
