"""Effects on pairs: who is whose partner, and what becomes of targets and lengths."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from tests.gpu_augment.cases import seeded
from tests.gpu_augment.test_sync_free import Recorder, fake_cuda
from tonearm.batch import AudioBatch
from tonearm.errors import ShapeError
from tonearm.gpu_augment import Augmented, Chain, PairEffect, Params, Polarity
from tonearm.gpu_augment.functional import blocks


class Join(PairEffect):
    """Writes the partner's number behind the clip's own: 3 with 7 gives 3.07."""

    num_parameter_draws = 1

    def __init__(self, p: float = 1.0, *, share: float = 0.25, generator: torch.Generator | None = None):
        super().__init__(p, generator)
        self.share = share

    def parameters_from(self, uniforms):
        return uniforms

    def mix(self, clips, partners, parameters, lengths, partner_lengths):
        return clips + partners / 100, torch.full_like(parameters[:, 0], self.share)


def numbered(clips: int) -> torch.Tensor:
    return torch.arange(float(clips)).view(clips, 1, 1).expand(clips, 1, 3)


def partners_in(out: torch.Tensor) -> torch.Tensor:
    return ((out[:, 0, 0] - out[:, 0, 0].floor()) * 100).round().long()


def test_partners_are_the_others_equally_likely_and_unmixed():
    found = torch.zeros(5, 5)
    join = Join(generator=seeded(0))
    for _ in range(2000):
        out = join(numbered(5), None, torch.eye(5)).waveform
        assert torch.equal(out[:, 0, 0].floor(), torch.arange(5.0))
        found[torch.arange(5), partners_in(out)] += 1  # 4.03 would be no whole number after the point
    assert found.diagonal().sum() == 0
    assert (found[~torch.eye(5, dtype=torch.bool)] / 2000).tolist() == pytest.approx([0.25] * 20, abs=0.045)


def test_targets_are_mixed_by_the_share_and_lengths_are_the_larger():
    lengths = torch.tensor([3, 1, 2, 0])
    out = Join(share=0.25, generator=seeded(0))(numbered(4), lengths, torch.eye(4))
    partner = partners_in(out.waveform)
    assert torch.equal(out.targets, 0.75 * torch.eye(4) + 0.25 * one_hot(partner, 4))
    assert torch.equal(out.lengths, torch.maximum(lengths, lengths[partner]))
    assert lengths.tolist() == [3, 1, 2, 0]


def test_clips_that_are_off_keep_everything():
    targets, lengths = torch.eye(40), torch.arange(40) % 4
    effect = Join(0.5, generator=seeded(1))
    params = effect.sample(40, 3)
    for gathered in (params, effect.sample(40, 3, generator=seeded(1), gather_sizes=(40,))):
        out = effect.apply(numbered(40), gathered, lengths, targets)
        off = sorted(set(range(40)) - set(params.steps[0].clips.tolist()))
        assert 5 < len(off) < 35
        assert torch.equal(out.waveform[off], numbered(40)[off])
        assert torch.equal(out.targets[off], targets[off]) and torch.equal(out.lengths[off], lengths[off])
        assert (partners_in(out.waveform) > 0).sum() > 5


def test_a_batch_of_one_is_its_own_partner_and_an_empty_one_stays_empty():
    out = Join()(torch.ones(1, 1, 3), None, torch.ones(1, 2))
    assert torch.equal(out.targets, torch.ones(1, 2)) and out.waveform[0, 0, 0] == 1.01
    assert Join()(torch.ones(0, 1, 3), None, torch.ones(0, 2)).waveform.shape == (0, 1, 3)


def test_the_same_in_blocks_as_at_once(monkeypatch):
    effect = Join(0.7, generator=seeded(1))
    params = effect.sample(20, 3)
    whole = effect.apply(numbered(20), params, None, torch.eye(20))
    monkeypatch.setattr(blocks, "CLIPS_BYTES", 3 * 12)
    in_blocks = effect.apply(numbered(20), params, None, torch.eye(20))
    assert torch.equal(in_blocks.waveform, whole.waveform) and torch.equal(in_blocks.targets, whole.targets)


def test_within_a_chain_partners_are_as_the_effects_before_left_them():
    out = Chain([Polarity(1.0), Join()])(numbered(3) + 1, None, torch.eye(3)).waveform
    assert (out < 0).all() and ((out * 100).round() % 100 != 0).all()


def test_the_input_and_its_targets_stay_as_they_are():
    waveform, targets = numbered(4).clone(), torch.eye(4)
    Join()(waveform, None, targets)
    assert torch.equal(waveform, numbered(4)) and torch.equal(targets, torch.eye(4))


def test_eval_is_the_identity_and_needs_no_targets():
    waveform = numbered(4)
    assert Join().eval()(waveform) is waveform
    assert torch.equal(Chain([Join().eval(), Polarity(1.0)])(waveform), -waveform)


def test_an_audio_batch_comes_out_mixed():
    batch = AudioBatch(numbered(4), torch.full((4,), 3), torch.eye(4), torch.arange(4))
    out = Join(generator=seeded(0))(batch)
    assert isinstance(out, AudioBatch) and (out.targets == 0.75).sum() == 4


def test_a_replay_does_the_same():
    effect = Join(0.5, generator=seeded(0))
    params = effect.sample(6, 3)
    first = effect.apply(numbered(6), params, None, torch.eye(6))
    again = effect.apply(numbered(6), params, None, torch.eye(6))
    assert isinstance(first, Augmented) and torch.equal(first.waveform, again.waveform)


@pytest.mark.parametrize("targets", [None, torch.arange(4)])
def test_without_targets_that_can_be_mixed_it_says_what_to_give(targets):
    for p in (0.0, 1.0):
        with pytest.raises(ShapeError, match=r"targets: got .*, but Join mixes them: give \(batch, classes\) floating"):
            Join(p)(numbered(4), None, targets)


def test_targets_of_another_batch_are_refused():
    with pytest.raises(ShapeError, match=r"targets: got \(3, 3\) on cpu, must be \(4, classes\)"):
        Join()(numbered(4), None, torch.eye(3))


def test_apply_does_nothing_that_waits_and_stays_on_its_device(monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    counts = []
    for size in (4, 64):
        params = Join().sample(size, 3)
        with Recorder() as recorder:
            Join().apply(numbered(size), params, torch.full((size,), 3), torch.eye(size))
        assert recorder.copies == 0
        counts.append(len(recorder.ops))
    assert counts[0] == counts[1]
    params = Join().sample(8, 3, gather_sizes=(8,))
    with fake_cuda() as fake:
        steps = tuple(replace(step, clips=fake(step.clips), rows=fake(step.rows)) for step in params.steps)
        waveform, lengths, targets = fake(numbered(8)), fake(torch.full((8,), 3)), fake(torch.eye(8))
        with Recorder() as recorder:
            out = Join().apply(waveform, Params(8, 3, steps), lengths, targets)
        assert recorder.copies == 0
        assert {out.waveform.device.type, out.lengths.device.type, out.targets.device.type} == {"cuda"}
