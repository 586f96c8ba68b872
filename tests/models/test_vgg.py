from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.models.promises import check_promises, count, random
from tonearm.errors import ConfigError, RunError, ShapeError
from tonearm.models.vgg import SYSTEMS, VGG19, load_imagenet

# torchvision.models.vgg19().state_dict(): the places of the convolutions and linear layers.
KEYS = {
    f"{part}.{place}.{kind}"
    for part, places in (
        ("features", (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)),
        ("classifier", (0, 3, 6)),
    )
    for place in places
    for kind in ("weight", "bias")
}


def small(*, in_channels: int = 2, num_classes: int = 5) -> VGG19:
    torch.manual_seed(0)
    return VGG19(num_classes=num_classes, in_channels=in_channels, n_mels=32, width=1)


def imagenet(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """A file like torchvision's, of the small network: three colours, a thousand classes."""
    torch.manual_seed(1)
    weights = VGG19(num_classes=1000, in_channels=3, n_mels=32, width=1).state_dict()
    torch.save(weights, folder / "vgg19.pth")
    return folder / "vgg19.pth", weights


def test_parameters() -> None:
    assert count(SYSTEMS[0]) == 139_773_938


def test_with_three_colours_and_a_thousand_classes_it_is_torchvisions() -> None:
    with torch.device("meta"):
        network = VGG19(num_classes=1000, in_channels=3)
    assert sum(each.numel() for each in network.parameters()) == 143_667_240
    assert set(network.state_dict()) == KEYS


def test_promises() -> None:
    check_promises(small(), convolutions=16)


def test_a_map_is_averaged_to_seven_by_seven() -> None:
    network = small().eval()
    maps = []
    network.stages.register_forward_hook(lambda layer, args, out: maps.append(out))
    scores = network(random(2, 2, 32, 300))
    flat = torch.nn.functional.adaptive_avg_pool2d(maps[0], 7).flatten(1)
    torch.testing.assert_close(scores, network.classifier(flat))


@pytest.mark.parametrize("in_channels", [1, 2, 3])
def test_imagenet_weights_but_for_the_class_layer(tmp_path: Path, in_channels: int) -> None:
    path, weights = imagenet(tmp_path)
    network = small(in_channels=in_channels)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_imagenet(network, path)
    for key, value in network.state_dict().items():
        if key.startswith("classifier.6."):
            assert torch.equal(value, before[key])
        elif key == "features.0.weight" and in_channels != 3:
            for channel in range(in_channels):
                torch.testing.assert_close(value[:, channel], weights[key].mean(dim=1))
        else:
            assert torch.equal(value, weights[key]), key


def test_a_thousand_classes_of_sound_are_not_those_of_pictures(tmp_path: Path) -> None:
    path, weights = imagenet(tmp_path)
    network = small(num_classes=1000)
    load_imagenet(network, path)
    assert not torch.equal(network.state_dict()["classifier.6.weight"], weights["classifier.6.weight"])


def test_a_wrong_file_is_named_and_changes_nothing(tmp_path: Path) -> None:
    path, weights = imagenet(tmp_path)
    network = small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cut = tmp_path / "cut.pth"
    cut.write_bytes(path.read_bytes()[:5000])
    text = tmp_path / "page.pth"
    text.write_text("<html>not found</html>")
    others: dict[str, object] = {
        "list.pth": [1, 2],
        "fewer.pth": {key: value for key, value in weights.items() if key != "features.34.bias"},
        "wider.pth": VGG19(num_classes=5, in_channels=3, n_mels=32, width=2).state_dict(),
    }
    for name, content in others.items():
        torch.save(content, tmp_path / name)
    for name, message in {
        "none.pth": "no such file",
        "cut.pth": "damaged, or not a checkpoint",
        "page.pth": "damaged, or not a checkpoint",
        "list.pth": "holds no tensors by name",
        "fewer.pth": r"of another network than VGG19 \(features\.34\.bias differs\)",
        "wider.pth": r"of another network: .* is \(.*\), here \(",
    }.items():
        with pytest.raises((ConfigError, RunError), match=rf"{name}.*{message}.*vgg19-dcbb9e9d\.pth"):
            load_imagenet(network, tmp_path / name)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_too_small_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match="n_mels: got 31; seed-vgg19 needs at least 32"):
        VGG19(num_classes=5, n_mels=31)
    with pytest.raises(ShapeError, match="31 frames; VGG19 needs at least 32"):
        small()(random(1, 2, 32, 31))
