import pytest
import torch

from tests.models.promises import check_promises, count, maps, random
from tonearm.errors import ConfigError, ShapeError
from tonearm.models.seed_recurrent import CRNNA, SYSTEMS, Attention, LSTMNet


def lstm() -> LSTMNet:
    torch.manual_seed(0)
    return LSTMNet(num_classes=5, in_channels=2, n_mels=6, hidden_size=8)


def crnn(*, bidirectional: bool = False) -> CRNNA:
    torch.manual_seed(0)
    return CRNNA(num_classes=5, in_channels=2, n_mels=16, channels=4, hidden_size=8, bidirectional=bidirectional)


def test_parameters() -> None:
    assert [(system.name, count(system)) for system in SYSTEMS] == [("seed-lstm", 36_530), ("seed-crnn-a", 91_995)]


def test_promises_of_the_lstm() -> None:
    check_promises(lstm(), convolutions=0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_promises_of_the_crnn(bidirectional: bool) -> None:
    check_promises(crnn(bidirectional=bidirectional), convolutions=1)


def test_padding_behind_a_clips_length_is_not_heard() -> None:
    network = lstm().eval()
    log_mel = maps(network, frames=20)
    lengths = torch.tensor([1, 13, 20])
    one_by_one = [network(log_mel[[clip], :, :, :length]) for clip, length in enumerate(lengths.tolist())]
    torch.testing.assert_close(network(log_mel, lengths), torch.cat(one_by_one))
    torch.testing.assert_close(network(log_mel), network(log_mel, torch.tensor([20, 20, 20])))


def test_attention_is_a_weighted_mean_over_time() -> None:
    attention = Attention(4)
    frame = random(2, 1, 4)
    torch.testing.assert_close(attention(frame.expand(-1, 9, -1)), frame[:, 0])
    last = attention.energy[2]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)  # every frame weighs the same
    frames = random(2, 9, 4)
    torch.testing.assert_close(attention(frames), frames.mean(dim=1))


def test_attention_fits_both_directions() -> None:
    assert crnn().attention.energy[0].weight.shape == (8, 8)
    assert crnn(bidirectional=True).attention.energy[0].weight.shape == (16, 16)


def test_too_small_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_mels: got 4; seed-crnn-a needs at least 5"):
        CRNNA(num_classes=5, n_mels=4)
    with pytest.raises(ShapeError, match="19 frames; CRNNA needs at least 20"):
        crnn()(random(1, 2, 16, 19))
    with pytest.raises(ShapeError, match="0 frames; LSTMNet needs at least 1"):
        lstm()(random(1, 2, 6, 0))
