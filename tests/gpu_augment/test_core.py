"""The contract that every augmentation keeps, run over all of them."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from tests.gpu_augment.cases import (
    AUGMENTATIONS,
    COMPOSITIONS,
    EFFECTS,
    HEARD_IN_SILENCE,
    LENGTH_CHANGING,
    SAMPLE_RATE,
    SPECGRAM_EFFECTS,
    WAVEFORM_EFFECTS,
    WITHOUT_GRADIENT,
    WITHOUT_PARAMETERS,
    batch_for,
    on_waveforms,
    only,
    seeded,
    specgram_chain,
    waveform_chain,
)
from tonearm.batch import AudioBatch
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment import Augmented, Chain, ClipEffect, FrequencyMasking, Noise, Params, Reverb, TimeMasking
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.params import eighths

FFT_ROUNDING = 2e-6  # an FFT of several rows may sum in another order than that of one
HALF_ROUNDING = {torch.float16: 4e-3, torch.bfloat16: 3e-2}  # half an ulp of values up to 4, input and output

REVERB = Reverb(sample_rate=8000)

every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)
every_effect = pytest.mark.parametrize("name", EFFECTS)
every_waveform_effect = pytest.mark.parametrize("name", list(filter(on_waveforms, AUGMENTATIONS)))


@every_augmentation
def test_keeps_shape_and_dtype_and_leaves_the_input_alone(name):
    batch = batch_for(name, 4)
    before = batch.clone()
    changed = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch)
    assert changed.shape == batch.shape and changed.dtype == batch.dtype
    assert torch.equal(batch, before)
    assert torch.isfinite(changed).all()
    assert all(not torch.equal(new, old) for new, old in zip(changed, batch, strict=True))


@every_effect
def test_clips_that_are_off_stay_bit_identical_and_the_others_change(name):
    batch = batch_for(name, 32)
    effect = EFFECTS[name](0.5, generator=seeded(1))
    params = effect.sample(*sizes(batch))
    changed = effect.apply(batch, params)
    on = params.steps[0].clips.tolist()
    assert 0 < len(on) < 32
    for clip in range(32):
        assert torch.equal(changed[clip], batch[clip]) == (clip not in on)


@every_effect
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_clip_is_touched_with_probability_p_independently(name, p):
    clips = 20_000
    chosen = torch.zeros(clips, dtype=torch.float64)
    chosen[EFFECTS[name](p).sample(clips, 10, generator=seeded(3)).steps[0].clips] = 1
    tolerance = 4.5 * (p * (1 - p) / clips) ** 0.5  # 4.5 standard deviations of a binomial share
    assert abs(chosen.mean() - p) <= tolerance
    both = (chosen[1:] * chosen[:-1]).mean()  # neighbours in a batch know nothing of each other
    assert abs(both - p * p) <= 4.5 * (p * p * (1 - p * p) / clips) ** 0.5 + 2 * tolerance * p


def test_members_of_a_chain_choose_their_clips_independently():
    steps = Chain([Noise(0.5), Noise(0.5)]).sample(10_000, 10, generator=seeded(0)).steps
    both = len(set(steps[0].clips.tolist()) & set(steps[1].clips.tolist()))
    assert abs(both / 10_000 - 0.25) < 0.02  # 4.6 standard deviations


@every_augmentation
def test_eval_is_the_identity_and_draws_nothing(name):
    batch = batch_for(name, 4)
    augmentation = AUGMENTATIONS[name](1.0, generator=seeded(1)).eval()
    state = augmentation.generator.get_state()
    lengths = torch.full((4,), batch.shape[-1])
    assert augmentation(batch) is batch
    assert augmentation(batch, lengths) == Augmented(batch, lengths, None)
    assert torch.equal(augmentation.generator.get_state(), state)
    audio_batch = AudioBatch(batch, lengths, torch.eye(4), torch.arange(4))
    assert augmentation(audio_batch) is audio_batch


def test_a_member_in_eval_mode_is_passed_over():
    chain = Chain([Noise(1.0), Noise(1.0)])
    chain.effects[0].eval()
    assert [len(step.clips) for step in chain.sample(4, 10).steps] == [0, 4]


@every_augmentation
def test_equal_seeds_give_equal_output_and_others_another(name):
    batch = batch_for(name, 16)
    first, second, other = (AUGMENTATIONS[name](0.5, generator=seeded(seed))(batch) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in WITHOUT_PARAMETERS])
def test_without_a_generator_no_two_are_alike(name):
    batch = batch_for(name, 4)
    assert not torch.equal(AUGMENTATIONS[name](1.0)(batch), AUGMENTATIONS[name](1.0)(batch))


@every_augmentation
def test_the_global_generator_is_neither_read_nor_changed(name):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    AUGMENTATIONS[name](0.5)(batch_for(name, 4))
    assert torch.equal(torch.get_rng_state(), state)


@every_augmentation
def test_what_was_sampled_can_be_applied_again(name):
    batch = batch_for(name, 6)
    augmentation = AUGMENTATIONS[name](0.7, generator=seeded(2))
    params = augmentation.sample(*sizes(batch))
    first = augmentation.apply(batch, params)
    augmentation(batch)  # moves the stream on
    assert torch.equal(augmentation.apply(batch, params), first)
    # forward is sample and then apply
    assert torch.equal(AUGMENTATIONS[name](0.7, generator=seeded(2))(batch), first)


@every_augmentation
def test_a_saved_generator_resumes_in_mid_stream(name):
    batch = batch_for(name, 4)
    augmentation = AUGMENTATIONS[name](0.5, generator=seeded(2))
    augmentation(batch)
    file = io.BytesIO()
    torch.save(augmentation.state_dict(), file)
    file.seek(0)
    expected = [augmentation(batch) for _ in range(3)]
    resumed = AUGMENTATIONS[name](0.5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert all(torch.equal(resumed(batch), output) for output in expected)


@every_augmentation
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_and_pickles_with_its_stream(name, clone):
    batch = batch_for(name, 4)
    augmentation = AUGMENTATIONS[name](0.5, generator=seeded(2))
    twin = clone(augmentation)
    assert torch.equal(twin(batch), augmentation(batch))


@every_augmentation
def test_a_clips_row_depends_only_on_its_place_in_the_stream(name):
    augmentation = AUGMENTATIONS[name](0.5)
    whole = augmentation.sample(8, 40, generator=seeded(4))
    generator = seeded(4)
    parts = [augmentation.sample(size, 40, generator=generator) for size in (3, 5)]
    for step, first, second in zip(whole.steps, parts[0].steps, parts[1].steps, strict=True):
        assert torch.equal(step.clips, torch.cat([first.clips, second.clips + 3]))
        assert torch.equal(step.rows, torch.cat([first.rows, second.rows]))


@every_augmentation
@pytest.mark.parametrize("with_lengths", [False, True])
def test_a_batch_is_the_stack_of_its_clips(name, with_lengths):
    batch = batch_for(name, 6)
    lengths = torch.tensor([1000, 999, 500, 2, 1, 0]) if with_lengths else None
    augmentation = AUGMENTATIONS[name](0.8, generator=seeded(2))
    params = augmentation.sample(*sizes(batch))
    whole = waveform_of(augmentation.apply(batch, params, lengths))
    for clip in range(6):
        alone = None if lengths is None else lengths[clip : clip + 1]
        single = augmentation.apply(batch[clip : clip + 1], only(params, clip), alone)
        torch.testing.assert_close(waveform_of(single)[0], whole[clip], rtol=0, atol=FFT_ROUNDING)


@every_augmentation
def test_blocks_on_a_cpu_give_what_the_whole_batch_gives(name, monkeypatch):
    batch = batch_for(name, 7)
    augmentation = AUGMENTATIONS[name](0.8, generator=seeded(2))
    params = augmentation.sample(*sizes(batch))
    monkeypatch.setattr(blocks, "CLIPS_BYTES", 2 * batch[0].nbytes)
    in_blocks = augmentation.apply(batch, params)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    torch.testing.assert_close(in_blocks, augmentation.apply(batch, params), rtol=0, atol=FFT_ROUNDING)


@every_augmentation
def test_a_gathered_set_filled_up_to_fixed_sizes_changes_nothing_else(name):
    batch = batch_for(name, 16)
    augmentation = AUGMENTATIONS[name](0.3)
    plain = augmentation.sample(*sizes(batch), generator=seeded(7))
    padded = augmentation.sample(*sizes(batch), generator=seeded(7), gather_sizes=(8, 16))
    assert {len(step.clips) for step in padded.steps} <= {8, 16}
    assert all(len(step.clips.unique()) == len(step.clips) for step in padded.steps)
    expected, got = augmentation.apply(batch, plain), augmentation.apply(batch, padded)
    torch.testing.assert_close(got, expected, rtol=0, atol=FFT_ROUNDING)
    for clip in set(range(16)) - {clip for step in plain.steps for clip in step.clips.tolist()}:
        assert torch.equal(got[clip], batch[clip])


def test_for_a_cuda_device_sets_are_filled_to_eighths_of_the_batch_and_elsewhere_not_at_all(monkeypatch):
    monkeypatch.setattr(Params, "to", lambda params, device: params)  # there is no such device here
    effect = Noise(0.5, generator=seeded(0))
    wanted = {0, 4, 7, 11, 14, 18, 21, 25, 28}
    assert set(eighths(28)) == wanted
    for _ in range(100):
        state = effect.generator.get_state()
        on = effect.sample(28, 10).steps[0]
        effect.generator.set_state(state)
        gathered = effect.sample(28, 10, device="cuda").steps[0]
        assert on.rows[:, 0].all() and not on.padded
        assert len(gathered.clips) == min(size for size in wanted if size >= len(on.clips))
        assert torch.equal(gathered.clips[: len(on.clips)], on.clips)
    assert len(effect.sample(28, 10, device="cuda", gather_sizes=(28,)).steps[0].clips) == 28
    assert [len(step.clips) for step in Chain([Noise(0.0)]).sample(28, 10, device="cuda").steps] == [0]


@pytest.mark.parametrize("batch_size", [0, 1, 2, 7, 8, 33, 256])
def test_eighths_are_few_and_hold_every_count_with_less_than_an_eighth_more(batch_size):
    sizes = eighths(batch_size)
    assert len(sizes) <= 9 and sizes[0] == 0 and sizes[-1] == batch_size
    for count in range(batch_size + 1):
        assert 0 <= min(size for size in sizes if size >= count) - count <= batch_size / 8


def test_where_no_fixed_size_is_large_enough_the_whole_batch_is_gathered():
    steps = Noise(0.5).sample(16, 10, gather_sizes=(1,), generator=seeded(0)).steps
    assert len(steps[0].clips) == 16 and 0 < steps[0].rows[:, 0].sum() < 16


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if on_waveforms(name) and name not in LENGTH_CHANGING])
def test_what_lies_beyond_a_clips_length_stays_as_it_is(name):
    batch = batch_for(name, 6)
    lengths = torch.tensor([1000, 999, 500, 2, 1, 0])
    changed = AUGMENTATIONS[name](1.0, generator=seeded(2))(batch, lengths).waveform
    assert torch.isfinite(changed).all()
    for clip, length in enumerate(lengths.tolist()):
        assert torch.equal(changed[clip, :, length:], batch[clip, :, length:])
        # What lies there is no part of the clip either: with something else there, the clip comes out the same.
        other = batch.clone()
        other[clip, :, length:] = 7.0
        again = AUGMENTATIONS[name](1.0, generator=seeded(2))(other, lengths).waveform
        torch.testing.assert_close(again[clip, :, :length], changed[clip, :, :length], rtol=0, atol=7 * FFT_ROUNDING)


@pytest.mark.parametrize("name", sorted(LENGTH_CHANGING))
def test_changed_lengths_come_out_and_silence_follows_them(name):
    batch, lengths = batch_for(name, 40), torch.arange(40) * 25
    effect = EFFECTS[name](0.7, generator=seeded(2))
    params = effect.sample(40, 1000)
    before = batch.clone()
    out = effect.apply(batch, params, lengths)
    again = effect.apply(torch.where(torch.arange(1000) < lengths[:, None, None], batch, 7.0), params, lengths)
    on = params.steps[0].clips.tolist()
    assert torch.equal(batch, before) and out.lengths.dtype == lengths.dtype
    assert out.lengths.min() >= 0 and out.lengths.max() <= 1000
    assert (out.lengths > lengths).any() and (out.lengths < lengths).any()
    for clip in range(40):
        length = int(out.lengths[clip])
        if clip in on:
            assert not out.waveform[clip, :, length:].any()
            torch.testing.assert_close(again.waveform[clip], out.waveform[clip], rtol=0, atol=7 * FFT_ROUNDING)
        else:
            assert length == lengths[clip] and torch.equal(out.waveform[clip], batch[clip])
    bare = effect.apply(batch, params)
    assert torch.equal(bare, effect.apply(batch, params, torch.full((40,), 1000)).waveform)
    with_targets = effect.apply(batch, params, None, torch.eye(40))
    assert with_targets.lengths.max() <= 1000 and torch.equal(with_targets.waveform, bare)


@every_augmentation
def test_lengths_and_targets_come_out_where_they_went_in(name):
    batch = batch_for(name, 4)
    augmentation = AUGMENTATIONS[name](1.0)
    lengths, targets = torch.full((4,), batch.shape[-1]), torch.eye(4)
    assert isinstance(augmentation(batch), torch.Tensor)
    for given in ({"lengths": lengths}, {"targets": targets}, {"lengths": lengths, "targets": targets}):
        out = augmentation(batch, **given)
        assert isinstance(out, Augmented)
        assert name in LENGTH_CHANGING or out.lengths is given.get("lengths")
        assert out.targets is given.get("targets")


@every_waveform_effect
def test_an_audio_batch_goes_in_and_comes_out(name):
    batch = AudioBatch(batch_for(name, 4), torch.tensor([1000, 800, 600, 0]), torch.eye(4), torch.arange(4))
    out = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch)
    expected = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch.waveform, batch.lengths, batch.targets)
    assert isinstance(out, AudioBatch)
    assert torch.equal(out.waveform, expected.waveform)
    assert out.targets is batch.targets and out.clip_index is batch.clip_index
    assert torch.equal(out.lengths, expected.lengths) and (name in LENGTH_CHANGING or out.lengths is batch.lengths)


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_out_as_it_went_in_and_about_right(name, dtype):
    batch = batch_for(name, 4).clamp(-2, 2).to(dtype)
    half = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch)
    full = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch.float())
    assert half.dtype == dtype
    rounding = HALF_ROUNDING[dtype] * (3 if name in COMPOSITIONS else 1)  # they round after each effect
    torch.testing.assert_close(half.float(), full, rtol=0, atol=rounding)


@every_augmentation
def test_double_precision_is_kept(name):
    batch = batch_for(name, 4).double()
    double = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch)
    single = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch.float())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0, atol=5 * FFT_ROUNDING)


@every_augmentation
@pytest.mark.parametrize("shape", [(0, 1, 16, 40), (3, 1, 16, 5), (1, 1, 3, 5), (2, 3, 16, 40), (2, 0, 16, 40)])
def test_odd_shapes(name, shape):
    if on_waveforms(name):
        shape = (shape[0], shape[1], {5: 1}.get(shape[-1], shape[-1]))  # a single sample
    batch = torch.randn(shape, generator=seeded(0))
    changed = AUGMENTATIONS[name](1.0, generator=seeded(1))(batch)
    assert changed.shape == shape and torch.isfinite(changed).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", WAVEFORM_EFFECTS)
def test_ten_minutes(name):
    clip = torch.randn(1, 1, 600 * SAMPLE_RATE, generator=seeded(0))
    effect = WAVEFORM_EFFECTS[name](1.0, generator=seeded(1))
    if name == "Noise tape":
        with pytest.raises(ShapeError, match="fewer than the 1 x 4800000 of a clip"):
            effect(clip)
        return
    changed = effect(clip)
    assert changed.shape == clip.shape and torch.isfinite(changed).all()
    touched = (changed != clip).view(100, -1).any(dim=1)  # in hundredths of the clip
    assert touched.sum() >= (20 if name == "SegmentGain" else 95)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in HEARD_IN_SILENCE])
def test_silence_stays_silence(name):
    silence = torch.zeros_like(batch_for(name, 4))
    assert torch.equal(AUGMENTATIONS[name](1.0)(silence), silence)


@every_augmentation
def test_a_damaged_clip_spoils_no_other(name):
    batch = batch_for(name, 4)
    batch[2] = float("nan")
    changed = AUGMENTATIONS[name](1.0)(batch)
    assert torch.isfinite(changed[[0, 1, 3]]).all() and changed[2].isnan().any()


@every_augmentation
def test_autocast_changes_nothing(name):
    batch = batch_for(name, 4)
    expected = AUGMENTATIONS[name](0.7, generator=seeded(3))(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(AUGMENTATIONS[name](0.7, generator=seeded(3))(batch), expected)


@every_augmentation
def test_non_contiguous_input(name):
    batch = batch_for(name, 4)
    strided = batch.transpose(0, -1).contiguous().transpose(0, -1)
    expanded = batch[:1].expand(batch.shape)
    assert not strided.is_contiguous() and not expanded.is_contiguous()
    for odd in (strided, expanded):
        changed = AUGMENTATIONS[name](0.5, generator=seeded(3))(odd)
        expected = AUGMENTATIONS[name](0.5, generator=seeded(3))(odd.contiguous())
        torch.testing.assert_close(changed, expected, rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in WITHOUT_GRADIENT])
@pytest.mark.parametrize("gather_sizes", [None, (4,)])
def test_gradients_reach_the_input(name, gather_sizes):
    batch = batch_for(name, 4)[..., ::4].double().contiguous().requires_grad_()
    augmentation = AUGMENTATIONS[name](0.6)
    params = augmentation.sample(*sizes(batch), generator=seeded(5), gather_sizes=gather_sizes)
    augmentation.apply(batch, params).square().sum().backward()
    direction = torch.randn(batch.shape, dtype=torch.float64, generator=seeded(6))
    step = 1e-6
    with torch.no_grad():
        up, down = (augmentation.apply(batch + s * step * direction, params).square().sum() for s in (1, -1))
    # Central differences of a quadratic in float64: 1e-6 relative is what cancellation leaves.
    torch.testing.assert_close((batch.grad * direction).sum(), (up - down) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WAVEFORM_EFFECTS)
def test_gradients_of_silence_are_finite(name):
    silence = torch.zeros(2, 1, 50, requires_grad=True)
    EFFECTS[name](1.0)(silence).sum().backward()
    assert torch.isfinite(silence.grad).all()


@every_augmentation
def test_input_of_the_wrong_kind_is_refused_even_when_nobody_is_on(name):
    batch = batch_for(name, 4)
    axes = r"\(batch, channel, mel, time\)" if batch.dim() == 4 else r"\(batch, channel, time\)"
    for p in (0.0, 1.0):
        augmentation = AUGMENTATIONS[name](p)
        with pytest.raises(ShapeError, match=rf"torch.int16, must be {axes} floating point. Convert it first"):
            augmentation(batch.to(torch.int16))
        with pytest.raises(ShapeError, match=rf"must be {axes} floating point. Add the missing axes"):
            augmentation(batch[0])
        with pytest.raises(ShapeError, match=rf"must be {axes}"):
            augmentation(batch[None])


@pytest.mark.parametrize(
    ("augmentation", "drawn_by", "message"),
    [
        (Chain([Noise(), REVERB]), Noise(), r"drawn for Noise, but this is Noise \+ Reverb\. Take those that"),
        (Noise(), Chain([Noise(), Noise()]), r"drawn for Noise \+ Noise, but this is Noise\."),
        (Noise(), REVERB, r"drawn for Reverb, but this is Noise"),
        (Chain([Noise(), Chain([REVERB])]), Chain([REVERB, Noise()]), r"Reverb \+ Noise, but this is Noise \+ Reverb"),
        (Noise(), Chain([]), r"drawn for nothing, but this is Noise"),
        (Chain([]), Noise(), r"drawn for Noise, but this is nothing"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_params_of_another_augmentation_are_refused(augmentation, drawn_by, message, device):
    waveform = torch.zeros(2, 1, 100, device=device)
    with pytest.raises(ShapeError, match=message):
        augmentation.apply(waveform, drawn_by.sample(2, 100, device=device))


def test_params_of_masks_along_the_other_axis_are_refused():
    with pytest.raises(ShapeError, match="params: drawn for TimeMasking, but this is FrequencyMasking"):
        FrequencyMasking(5).apply(torch.zeros(2, 1, 8, 9), TimeMasking(5).sample(2, 9))


def test_params_lengths_and_waveform_that_do_not_fit_are_refused():
    noise, waveform = Noise(1.0), torch.zeros(4, 1, 100)
    params = noise.sample(4, 100)
    with pytest.raises(ShapeError, match=r"drawn for 4 clips of 100, but the batch is \(4, 1, 99\).*sample\(4, 99\)"):
        noise.apply(waveform[..., :99], params)
    with pytest.raises(ShapeError, match=r"drawn for 4 clips of 100, but the batch is \(3, 1, 100\)"):
        noise.apply(waveform[:3], params)
    with pytest.raises(ShapeError, match=r"lengths: got \(3,\) on cpu, must be \(4,\) on cpu"):
        noise.apply(waveform, params, torch.ones(3, dtype=torch.int64))
    for odd, message in (
        (torch.ones(4), "torch.float32"),
        (torch.ones(4, dtype=torch.bool), "torch.bool"),
        ([1, 2, 3, 4], "a list"),
    ):
        with pytest.raises(ShapeError, match=f"lengths: got {message}, must be a torch.Tensor of whole numbers"):
            noise.apply(waveform, params, odd)
    for ends in ([0, 5, 100, 101], [-1, 5, 6, 7]):
        with pytest.raises(ShapeError, match=r"lengths: got .* to .*, must be from 0 to 100, the width of the batch"):
            noise.apply(waveform, params, torch.tensor(ends))
    with pytest.raises(ShapeError, match=r"targets: got a list, must be a torch.Tensor"):
        noise.apply(waveform, params, None, [1, 2, 3, 4])
    with pytest.raises(ShapeError, match=r"params: on meta, but the batch is on cpu.*device=waveform.device"):
        noise.apply(waveform, params.to("meta"))
    with pytest.raises(RequestError, match=r"params: got None, may be what sample\(batch_size, num_samples\) returned"):
        noise.apply(waveform)
    with pytest.raises(ShapeError, match=r"waveform: got \(\) torch.float32"):
        noise(torch.tensor(1.0))


def test_a_specgram_effect_says_what_it_takes_when_given_an_audio_batch():
    batch = AudioBatch(torch.zeros(2, 1, 100), torch.full((2,), 100), torch.eye(2), torch.arange(2))
    for make in [*SPECGRAM_EFFECTS.values(), specgram_chain]:
        with pytest.raises(ShapeError, match=r"specgram: got \(2, 1, 100\).*\(batch, channel, mel, time\)"):
            make(0.5)(batch)


def test_a_generator_that_is_not_on_the_cpu_is_refused():
    class Elsewhere(torch.Generator):
        device = torch.device("cuda")

    with pytest.raises(RequestError, match="generator: got one on cuda, may be a CPU generator"):
        Noise(generator=Elsewhere())


def test_a_chain_is_its_members_one_after_the_other():
    batch = batch_for("Noise", 8)
    chain = waveform_chain(0.5)
    params = chain.sample(*sizes(batch), generator=seeded(1))
    expected = batch
    for effect, step in zip(chain.effects, params.steps, strict=True):
        expected = effect.apply(expected, Params(8, 1000, (step,)))
    assert torch.equal(chain.apply(batch, params), expected)


def test_a_chain_saves_its_own_generator_alone_and_ignores_its_members():
    batch = batch_for("Noise", 4)
    chain = Chain([Noise(0.5, generator=seeded(1)), Chain([Noise(0.5)])], generator=seeded(2))
    sizes_saved = {name: len(state) for name, state in chain.state_dict().items()}
    assert sizes_saved.pop("_extra_state") == len(chain.generator.get_state())
    assert set(sizes_saved.values()) == {0}
    other = Chain([Noise(0.5, generator=seeded(3)), Chain([Noise(0.5)])], generator=seeded(2))
    member_state = other.effects[0].generator.get_state()
    assert torch.equal(chain(batch), other(batch))
    other.load_state_dict(chain.state_dict())
    assert torch.equal(chain(batch), other(batch))
    assert torch.equal(other.effects[0].generator.get_state(), member_state)  # neither drawn from nor loaded


def test_chains_nest_and_may_be_empty():
    batch = batch_for("Noise", 8)
    makers = [WAVEFORM_EFFECTS[name] for name in ("TimeShiftStretch", "Noise", "Reverb")]
    flat = Chain([make(0.5) for make in makers], generator=seeded(1))
    first, *others = makers
    nested = Chain([first(0.5), Chain([]), Chain([make(0.5) for make in others])], generator=seeded(1))
    assert torch.equal(nested(batch), flat(batch))
    assert Chain([])(batch) is batch


def test_a_numpy_array_is_refused_with_what_to_do():
    array = torch.zeros(2, 1, 100).numpy()
    for call in (lambda: Noise(1.0)(array), lambda: Noise(1.0).apply(array, Noise(1.0).sample(2, 100))):
        with pytest.raises(ShapeError, match="waveform: got a ndarray, .* Convert it with torch.from_numpy"):
            call()


class Half(ClipEffect):
    """An effect of one's own, with a mistake that ``effect`` and ``keeps`` say."""

    def __init__(self, p=0.5, *, amount=1.0, keeps=True, effect=lambda clips: clips / 2, generator=None):
        super().__init__(p, generator)
        self.made, self.keeps = effect, keeps
        if keeps:
            self.amount = amount

    def effect(self, clips, parameters, lengths):
        return self.made(clips)


def test_mistakes_of_an_effect_of_ones_own_are_told():
    batch = torch.ones(4, 1, 10)
    assert (Half(1.0)(batch) == 0.5).all()
    with pytest.raises(ShapeError, match=r"Half.effect: it made \(4, 1, 5\) of clips of \(4, 1, 10\)"):
        Half(1.0, effect=lambda clips: clips[..., :5])(batch)
    with pytest.raises(RequestError, match=r"Half: it must keep its argument amount as self.amount"):
        repr(Half(keeps=False))


def test_drawing_in_the_worker_of_a_loader_is_warned_of(monkeypatch):
    monkeypatch.setattr("tonearm.gpu_augment.core.get_worker_info", lambda: "a worker")
    with pytest.warns(UserWarning, match="Noise is drawn from in a DataLoader worker: each worker has a copy"):
        Noise(1.0)(torch.ones(2, 1, 10))


def test_printed_it_shows_its_arguments():
    assert repr(Noise(0.3, 5)).startswith("Noise(p=0.3, min_snr_db=5, max_snr_db=30.0, color='white'")
    assert "(0): Noise(p=0.5" in repr(Chain([Noise()]))


def test_a_chain_takes_augmentations_only():
    with pytest.raises(RequestError, match="effects: got a ReLU, may be augmentations"):
        Chain([Noise(), nn.ReLU()])


def test_nn_module_apply_still_visits_every_submodule():
    seen: list[nn.Module] = []
    model = nn.Sequential(waveform_chain(0.5), nn.ReLU())
    model.apply(seen.append)
    assert [type(module).__name__ for module in seen].count("Noise") == 1
    assert len(seen) == len(list(model.modules()))


def sizes(batch):
    return batch.shape[0], batch.shape[-1]


def waveform_of(out):
    return out.waveform if isinstance(out, Augmented) else out
