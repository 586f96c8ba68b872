from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataio import miniatures
from tonearm.dataio import LAYOUTS, read_manifest
from tonearm.errors import ManifestError, RequestError

FOLDERS = [layout for layout in LAYOUTS if layout != "csv"]


def test_unknown_layout_names_the_near_one() -> None:
    with pytest.raises(RequestError, match=r"unknown layout 'esc5'; there are esc50, esc10, .* Did you mean 'esc50'"):
        read_manifest("esc5", ".")


@pytest.mark.parametrize("layout", FOLDERS)
def test_a_root_that_is_no_folder_says_what_the_right_one_holds(tmp_path: Path, layout: str) -> None:
    with pytest.raises(ManifestError, match="no such folder. Give the folder that holds "):
        read_manifest(layout, tmp_path / "none")
    (tmp_path / "a.zip").touch()
    with pytest.raises(ManifestError, match="a file, not a folder. Give the folder that holds "):
        read_manifest(layout, tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("layout", "landmark"),
    [
        ("esc50", "meta/esc50.csv"),
        ("urbansound8k", "metadata/UrbanSound8K.csv"),
        ("fsdkaggle2019", "train_curated.csv"),
        ("audioset", "class_labels_indices.csv"),
        ("speechcommands", "validation_list.txt"),
        ("esc10", "001 - Dog bark"),
        ("ravdess", "Actor_01"),
    ],
)
def test_an_empty_root_is_refused_and_the_folder_below_is_named(tmp_path: Path, layout: str, landmark: str) -> None:
    with pytest.raises(ManifestError, match=f"no {landmark} in it, so this is not the {layout} layout"):
        read_manifest(layout, tmp_path)
    place = tmp_path / "unzipped" / landmark
    place.parent.mkdir(parents=True)
    place.touch()
    with pytest.raises(ManifestError, match=f"no {landmark} in it, but there is one in .*/unzipped. Give that folder"):
        read_manifest(layout, tmp_path)


SPITE = st.sampled_from(
    [b"../", b"/etc/passwd", b",", b'"', b"\n", b"\r\n", b"-1", b"nan", b"1e999", b"9" * 5000, b"\0", b"#"]
)
TABLES = [
    ("esc50", miniatures.esc50, "meta/esc50.csv"),
    ("urbansound8k", miniatures.urbansound8k, "metadata/UrbanSound8K.csv"),
    ("fsdkaggle2019", miniatures.fsdkaggle2019_kaggle, "train_curated.csv"),
    ("fsdkaggle2019", miniatures.fsdkaggle2019_zenodo, "FSDKaggle2019.meta/train_noisy_post_competition.csv"),
    ("fsdkaggle2019", miniatures.fsdkaggle2019_zenodo, "FSDKaggle2019.meta/vocabulary.csv"),
    ("audioset", miniatures.audioset, "class_labels_indices.csv"),
    ("audioset", miniatures.audioset, "balanced_train_segments.csv"),
    ("speechcommands", miniatures.speechcommands, "testing_list.txt"),
]


@pytest.mark.parametrize(("layout", "generate", "name"), TABLES, ids=[name for *_, name in TABLES])
def test_a_damaged_table_gives_clips_inside_the_dataset_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, layout: str, generate: Callable[[Path], object], name: str
) -> None:
    root = tmp_path_factory.mktemp(layout)
    generate(root)
    whole = (root / name).read_bytes()

    @settings(deadline=None, max_examples=60)
    @given(place=st.integers(0, len(whole) - 1), cut=st.integers(0, 40), put=st.binary(max_size=6) | SPITE)
    def damage(place: int, cut: int, put: bytes) -> None:
        (root / name).write_bytes(whole[:place] + put + whole[place + cut :])
        try:
            manifest = read_manifest(layout, root)
        except ManifestError as error:
            assert str(root) in str(error)
        else:
            assert all((root / clip.path).resolve().is_relative_to(root.resolve()) for clip in manifest.clips)

    damage()
