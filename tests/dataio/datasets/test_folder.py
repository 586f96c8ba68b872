from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path, clips=6))
    assert manifest.class_names == ("class0", "class1", "class2")
    assert manifest.clips[0].clip_id == "class0/clip00.wav"
    assert manifest.name == tmp_path.name


def test_loose_recordings_and_none_at_all_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, clips=3)
    (tmp_path / "loose.wav").touch()
    with pytest.raises(ManifestError, match="loose.wav lies beside the class folders"):
        read_manifest("folder", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no recordings in it"):
        read_manifest("folder", tmp_path / "empty")
