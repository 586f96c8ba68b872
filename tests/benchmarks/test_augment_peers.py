from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tonearm.benchmarks import augment as bench
from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks import augment_peers
from tonearm.benchmarks.augment import CEILINGS, bench_augment
from tonearm.benchmarks.augment_material import Material, make_material, write_material
from tonearm.benchmarks.augment_peers import EffectPeer, effect_peers, peer_contestants
from tonearm.benchmarks.augment_rows import Row
from tonearm.benchmarks.harness import Role
from tonearm.benchmarks.peer_environment import AUGMENTATION, PEERS_FOLDER, environment_folder
from tonearm.config import Config, FeaturesConfig
from tonearm.errors import RunError
from tonearm.gpu_augment import Noise

SAMPLE_RATE = 44100  # several peers' ranges need its treble
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def material() -> Material:
    return make_material(
        batch_size=3, sample_rate=SAMPLE_RATE, duration_seconds=1.5, features=FeaturesConfig(), device=CPU
    )


@pytest.fixture(scope="module")
def folder(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    write_material(material, folder)
    return folder


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def peers_of(material: Material, *, own_environment: bool) -> list[EffectPeer]:
    return [peer for peer in effect_peers(material, threads=2) if peer.needs_environment == own_environment]


def test_the_clips_are_handed_over_as_they_are(material: Material, folder: Path) -> None:
    assert np.array_equal(np.load(folder / "clips.npy", allow_pickle=False), material.waveform.numpy())
    assert np.array_equal(np.load(folder / "log_mel.npy", allow_pickle=False), material.specgram.numpy())
    rir, rate = soundfile.read(folder / "rir.wav", dtype="float32")
    assert rate == SAMPLE_RATE
    assert np.array_equal(rir, material.rir.numpy())
    assert len(rir) == SAMPLE_RATE
    assert np.sum(rir.astype(np.float64) ** 2) == pytest.approx(1, abs=1e-5)
    assert len(soundfile.read(folder / "background.wav")[0]) == 2 * material.waveform.shape[-1]


def test_every_peer_has_a_name_and_a_script(material: Material) -> None:
    peers = effect_peers(material, threads=2)
    assert len({peer.name for peer in peers}) == len(peers)
    assert all((PEERS_FOLDER / peer.script).is_file() for peer in peers)
    assert {"audiomentations_effects.py", "torch_audiomentations_effects.py"} == {
        peer.script for peer in peers if peer.needs_environment
    }


def run_all(stack: ExitStack, peers: list[EffectPeer], material: Material, folder: Path) -> None:
    contestants = peer_contestants(
        stack, peers, material, folder, ceilings=CEILINGS, pass_seconds=0.01, device=CPU, announce=lambda _: None
    )
    for contestant in contestants:
        assert contestant.check() is None, contestant.name
    for contestant in contestants:  # they take turns
        contestant.prepare()
        done = contestant.run()
        assert not isinstance(done, int)
        assert done.num_clips % 3 == 0
        assert done.seconds > 0
        assert (contestant.role, contestant.ceiling) == (Role.PEER, CEILINGS[by_name(peers)[contestant.name].kind])


def by_name(peers: list[EffectPeer]) -> dict[str, EffectPeer]:
    return {peer.name: peer for peer in peers}


def test_the_peers_that_need_no_environment(
    stack: ExitStack, material: Material, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment_peers, "peers_python", lambda *_, **__: pytest.fail("no environment is needed"))
    run_all(stack, peers_of(material, own_environment=False), material, folder)


@pytest.mark.slow
@pytest.mark.skipif(not environment_folder(AUGMENTATION).exists(), reason="the peers' environment has not been made")
def test_the_peers_that_need_one(stack: ExitStack, material: Material, folder: Path) -> None:
    run_all(stack, peers_of(material, own_environment=True), material, folder)


def test_the_settings_are_swept_and_told(stack: ExitStack, material: Material, folder: Path) -> None:
    peer = replace(peers_of(material, own_environment=False)[0], axes={"workers": (1, 2)}, note="as it is")
    (contestant,) = peer_contestants(
        stack, [peer], material, folder, ceilings=CEILINGS, pass_seconds=0.0, device=CPU, announce=lambda _: None
    )
    assert contestant.note.startswith("as it is; workers ")
    assert contestant.note.endswith(f"of 1, 2; torch {torch.__version__.partition('+')[0]}")


def test_a_peer_that_augments_wrongly_is_not_timed(stack: ExitStack, material: Material, folder: Path) -> None:
    def never(before: object, after: object) -> str:
        return "never right."

    peer = replace(peers_of(material, own_environment=False)[0], check=never)
    (contestant,) = peer_contestants(
        stack, [peer], material, folder, ceilings=CEILINGS, pass_seconds=0.0, device=CPU, announce=lambda _: None
    )
    assert contestant.check() == "never right."


def test_an_effect_that_changes_its_input_is_found(
    stack: ExitStack, material: Material, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in_place.py").write_text(
        f"import sys\nsys.path.insert(0, {str(PEERS_FOLDER)!r})\n"
        "from augmenting import AugmentingPeer\nfrom protocol import serve\n"
        "class InPlace(AugmentingPeer):\n    def effect(self, name, settings):\n"
        "        return lambda: self.waveform.mul_(2)\n"
        "serve(InPlace)\n"
    )
    monkeypatch.setattr(augment_peers, "PEERS_FOLDER", tmp_path)
    peer = EffectPeer("doubled", "group", "double", "in_place.py")
    (contestant,) = peer_contestants(
        stack, [peer], material, folder, ceilings=CEILINGS, pass_seconds=0.0, device=CPU, announce=lambda _: None
    )
    with pytest.raises(RunError, match="the effect has changed the batch that it was given"):
        contestant.check()


def test_a_run_compares_with_the_best_peer_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ROWS", (Row("Noise", groups.WHITE_NOISE, lambda _: Noise(1.0)),))
    recipe = Config.model_validate({"model": {"blocks": ({"pooling": {}},)}})
    report = bench_augment(
        recipe, batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=2, peers=True, only=": Noise$|randn at"
    )
    assert [result.name for result in report.results[3:]] == ["Noise", "torch: randn at an SNR"]
    own, peer = report.results[3:]
    assert own.ratio_to_best_peer is not None
    assert peer.role is Role.PEER
    assert peer.ratio_to_best_peer is not None
    assert peer.ratio_to_best_peer.median == 1
