import numpy as np
import pytest
import torch

from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, counter
from tonearm.gpu_augment.functional.counter import bernoulli, gaussian, random_bits

KEYS = torch.tensor([[0, 0], [1, 2], [-(2**31), 2**31 - 1], [-5, 77]], dtype=torch.int32)
COUNT = 200_000
FLOAT32_ROUNDING = 4e-6  # an angle up to 2π has an ulp of 5e-7, and is multiplied by a radius below 5
SIGMAS = 5.0  # one run in a million would be farther off, were it random; the keys are fixed


def unsigned(bits):
    return bits.numpy().astype(np.uint32)


def test_the_hash_is_the_reference_hash():
    bits = unsigned(random_bits(KEYS, 500))
    for key, row in zip(KEYS.tolist(), bits, strict=True):
        assert row.tolist() == reference.random_bits(tuple(key), 500)


def test_a_pinned_output():
    """So that a run of last year can be repeated: change the hash and this fails."""
    assert unsigned(random_bits(KEYS[1:2], 4)).tolist() == [[3404592164, 3683452350, 3449134317, 795119248]]


@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_gaussian_is_the_reference(count):
    numbers = gaussian(KEYS, count)
    assert numbers.shape == (4, count) and numbers.dtype == torch.float32
    for key, row in zip(KEYS.tolist(), numbers, strict=True):
        np.testing.assert_allclose(row.numpy(), reference.gaussian(tuple(key), count), rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 1000, 1001])
@pytest.mark.parametrize("make", [random_bits, gaussian])
def test_a_chunk_at_a_time_gives_what_all_at_once_give(make, count, monkeypatch):
    monkeypatch.setattr(counter, "_CHUNK", 64)
    in_chunks = make(KEYS, count)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(in_chunks, make(KEYS, count)) and in_chunks.is_contiguous()


def test_chunks_are_even_and_cover_all():
    for count in (0, 1, 131_080, 262_143, 10**7):
        chunk = counter._even_chunk(count)
        assert chunk <= 1.5 * counter._CHUNK
        assert count == 0 or (-count) % chunk < max(64, chunk // 8)  # the last is nearly as long as the others


def test_every_bit_is_fair_and_knows_nothing_of_its_neighbours():
    words = unsigned(random_bits(KEYS, COUNT))
    bits = (words[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1
    deviation = 0.5 / COUNT**0.5
    assert np.abs(bits.mean(axis=1) - 0.5).max() < SIGMAS * deviation
    for lag in (1, 2, 64):
        agree = (bits[:, lag:] == bits[:, :-lag]).mean(axis=1)
        assert np.abs(agree - 0.5).max() < SIGMAS * deviation


@pytest.mark.parametrize(
    "keys", [torch.cartesian_prod(torch.arange(3), torch.arange(3)), 2 ** torch.arange(18).view(9, 2)]
)
def test_no_bit_knows_any_bit_of_another_key_not_even_of_a_neighbouring_one(keys):
    count = 20_000
    words = random_bits(keys.to(torch.int32), count)
    signs = torch.stack([((words >> bit) & 1) * 2.0 - 1 for bit in range(32)], dim=1).flatten(0, 1)
    correlation = (signs @ signs.T / count).fill_diagonal_(0)
    pairs_allowance = 1.0  # of 41,000 pairs the extreme one is 1 deviation farther out than of 100
    assert correlation.abs().max() < (SIGMAS + pairs_allowance) / count**0.5


def test_gaussian_numbers_have_the_moments_and_tails_of_the_normal_distribution():
    numbers = gaussian(KEYS, COUNT).double()
    n = COUNT**0.5
    assert numbers.mean(dim=1).abs().max() < SIGMAS / n
    assert ((numbers**2).mean(dim=1) - 1).abs().max() < SIGMAS * 2**0.5 / n
    assert (numbers**3).mean(dim=1).abs().max() < SIGMAS * 15**0.5 / n
    assert ((numbers**4).mean(dim=1) - 3).abs().max() < SIGMAS * 96**0.5 / n
    beyond = (numbers.abs() > 3).double().mean(dim=1)
    assert (beyond - 0.0026998).abs().max() < SIGMAS * 0.0026998**0.5 / n


def test_gaussian_numbers_of_different_keys_are_uncorrelated():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(-(2**31), 2**31, (64, 2), generator=generator).to(torch.int32)
    numbers = gaussian(keys, 20_000)
    correlation = numbers @ numbers.T / 20_000 - torch.eye(64)
    assert correlation.fill_diagonal_(0).abs().max() < SIGMAS / 20_000**0.5


@pytest.mark.parametrize("probability", [0.0, 0.003, 0.5, 1.0])
def test_bernoulli_share(probability):
    share = bernoulli(KEYS, probability, COUNT).double().mean(dim=1)
    assert (share - probability).abs().max() <= SIGMAS * (probability * (1 - probability) / COUNT) ** 0.5
