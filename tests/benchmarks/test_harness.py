from collections.abc import Callable

import pytest
import torch

from tonearm.benchmarks import harness
from tonearm.benchmarks.harness import Contestant, Measurement, Role, Spread, TimedPass, best_peer, measure
from tonearm.errors import RequestError, RunError


class World:
    """A clock that moves only when a contestant works, and a diary of what happened."""

    def __init__(self) -> None:
        self.now = 0.0
        self.diary: list[str] = []

    def contestant(
        self, name: str, seconds: float | Callable[[int], float], num_clips: int = 10, **more: object
    ) -> Contestant:
        """A contestant whose n-th pass takes ``seconds``, or ``seconds(n)``."""
        passes = 0

        def run() -> int:
            nonlocal passes
            self.diary.append(name)
            self.now += seconds(passes) if callable(seconds) else seconds
            passes += 1
            return num_clips

        return Contestant(name, run, **more)  # type: ignore[arg-type]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(harness, "perf_counter", lambda: world.now)
    return world


def test_each_repeat_runs_everybody_once_after_the_warm_up(world: World) -> None:
    measure([world.contestant(name, 1.0) for name in "ABC"], repeats=5, warmup=2)
    assert "".join(world.diary[:6]) == "AABBCC"
    repeats = ["".join(world.diary[start : start + 3]) for start in range(6, len(world.diary), 3)]
    assert [sorted(repeat) for repeat in repeats] == [["A", "B", "C"]] * 5


def test_everybody_follows_everybody_at_some_time_and_the_next_run_has_the_same_order(world: World) -> None:
    contestants = [world.contestant(name, 1.0) for name in "ABCD"]
    measure(contestants, repeats=20)
    first, world.diary = world.diary, []
    repeats = ["".join(first[start : start + 4]) for start in range(4, len(first), 4)]
    pairs = {repeat[place : place + 2] for repeat in repeats for place in range(3)}
    assert pairs == {one + other for one in "ABCD" for other in "ABCD" if one != other}
    measure(contestants, repeats=20)
    assert world.diary == first


def test_warm_up_passes_do_not_count(world: World) -> None:
    (measured,) = measure([world.contestant("slow start", lambda n: 100.0 if n < 2 else 2.0)], repeats=3, warmup=2)
    assert measured.seconds == (2.0, 2.0, 2.0)
    assert measured.clips_per_second() == Spread(5.0, 5.0, 5.0)


def test_who_speeds_up_is_warmed_up_until_two_passes_agree(world: World) -> None:
    climbing = [7.0, 3.0, 2.0, 1.1, 1.0, 1.0]
    fast, slow = measure(
        [world.contestant("climbs", lambda n: climbing[min(n, 5)]), world.contestant("steady", 2.0)],
        repeats=3,
        warmup=2,
        steady=0.15,
        min_seconds=2.9,
    )
    assert "".join(name[0] for name in world.diary[:7]) == "cccccss"
    assert fast.seconds == pytest.approx((3.0, 3.0, 3.0))  # three calls, judged by the pass of 1 s
    assert slow.seconds == (4.0, 4.0, 4.0)


def test_who_never_becomes_steady_is_timed_after_six_passes(world: World) -> None:
    measure([world.contestant("A", lambda n: 2.0**-n)], repeats=1, warmup=1, steady=0.15)
    assert world.diary == ["A"] * 7
    measure([world.contestant("B", lambda n: 2.0**-n)], repeats=1, warmup=8, steady=0.15)
    assert world.diary[7:] == ["B"] * 9


def test_one_pass_says_nothing_about_steadiness(world: World) -> None:
    measure([world.contestant("A", 1.0)], repeats=1, warmup=1, steady=0.15)
    assert world.diary == ["A"] * 3


def test_steadiness_needs_a_warm_up_and_is_a_share() -> None:
    with pytest.raises(RequestError, match=r"warmup is 0, with min_seconds 0 and steady 0\.15"):
        measure([Contestant("A", lambda: 1)], warmup=0, steady=0.15)
    with pytest.raises(RequestError, match=r"steady is 15; it is a share between 0 and 1"):
        measure([Contestant("A", lambda: 1)], steady=15)


def test_median_and_quartiles_over_the_repeats(world: World) -> None:
    seconds = [1.0, 1.0, 2.0, 4.0, 5.0, 10.0]  # the first one warms up
    (measured,) = measure([world.contestant("A", seconds.__getitem__)], repeats=5)
    assert measured.clips_per_second() == Spread(lower_quartile=2.0, median=2.5, upper_quartile=5.0)


def test_the_device_is_synchronised_before_the_clock_starts_and_before_it_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = 0.0
    devices = []

    def run() -> int:
        nonlocal queued
        queued = 3.0
        return 6

    def synchronize(device: torch.device) -> None:
        nonlocal queued
        devices.append(str(device))
        world.now += queued
        queued = 0.0

    def setup() -> None:
        nonlocal queued
        queued = 50.0

    monkeypatch.setattr(harness, "synchronize", synchronize)
    (measured,) = measure([Contestant("queues", run, setup=setup)], repeats=2, device="cuda:1")
    assert measured.seconds == (3.0, 3.0)
    assert devices == ["cuda:1"] * 6


def test_ratios_are_paired_so_that_a_machine_that_slows_down_does_not_bend_them(world: World) -> None:
    def slowing(factor: float) -> Callable[[int], float]:
        return lambda n: factor * 2.0**n

    own, ceiling = measure(
        [
            world.contestant("own", slowing(2.0), ceiling="copy"),
            world.contestant("copy", slowing(1.0), role=Role.CEILING),
        ],
        repeats=5,
    )
    assert own.ratio_to(ceiling) == Spread(0.5, 0.5, 0.5)
    assert own.clips_per_second().lower_quartile < own.clips_per_second().upper_quartile


def test_a_wrong_output_stops_the_run_before_anything_is_timed(world: World) -> None:
    torn_down = []
    good = world.contestant("good", 1.0, teardown=lambda: torn_down.append("good"))
    bad = world.contestant(
        "bad", 1.0, check=lambda: "sample 7 is 0.5, not 0.25.", teardown=lambda: torn_down.append("bad")
    )
    with pytest.raises(RunError, match=r"bad gives a wrong output, so nothing was timed: sample 7 is 0.5, not 0.25\."):
        measure([good, bad])
    assert world.diary == []
    assert torn_down == ["bad", "good"]


def test_everything_is_set_up_then_checked_then_run_then_torn_down(world: World) -> None:
    def log(word: str) -> Callable[[], None]:
        return lambda: world.diary.append(word)

    contestants = [
        world.contestant(name, 1.0, setup=log(f"setup {name}"), check=log(f"check {name}"), teardown=log(f"end {name}"))
        for name in "AB"
    ]
    measure(contestants, repeats=1)
    assert world.diary[:6] == ["setup A", "setup B", "check A", "check B", "A", "B"]
    assert sorted(world.diary[6:8]) == ["A", "B"]
    assert world.diary[8:] == ["end B", "end A"]


def test_an_error_names_the_contestant_and_everybody_is_torn_down() -> None:
    ended = []

    def run() -> int:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone") as caught:
        measure([Contestant("loader", run, teardown=lambda: ended.append(True))])
    assert caught.value.__notes__ == ["while running the benchmark contestant 'loader'"]
    assert ended == [True]


def test_short_work_is_repeated_until_a_pass_is_long_enough(world: World) -> None:
    short, long = measure([world.contestant("short", 0.3), world.contestant("long", 2.0)], repeats=2, min_seconds=1.0)
    assert short.num_clips == 4 * 10
    assert short.seconds == pytest.approx((1.2, 1.2))
    assert short.clips_per_second().median == pytest.approx(10 / 0.3)
    assert long.num_clips == 10


def test_a_pass_that_timed_itself_is_believed(world: World) -> None:
    def run() -> TimedPass:
        world.now += 9.0
        return TimedPass(num_clips=8, seconds=2.0)

    (measured,) = measure([Contestant("peer", run, role=Role.PEER)], repeats=2, min_seconds=3.0)
    assert measured.num_clips == 16
    assert measured.seconds == (4.0, 4.0)


def test_a_contestant_that_loses_clips_has_no_figure(world: World) -> None:
    counts = iter([10, 10, 9])
    loses = Contestant("loses", lambda: next(counts))
    with pytest.raises(RunError, match="loses handled 9 then 10 clips"):
        measure([loses], repeats=2)
    with pytest.raises(RunError, match="empty handled 0 clips"):
        measure([world.contestant("empty", 1.0, num_clips=0)])


@pytest.mark.parametrize(
    ("names", "ceiling", "repeats", "warmup", "message"),
    [
        ([], None, 1, 1, "no contestants"),
        (["A", "A"], None, 1, 1, "two contestants are called 'A'"),
        (["A", "B"], "C", 1, 1, r"ceiling of 'A' is 'C', which is not in this run \(A, B\)"),
        (["A"], None, 0, 1, "repeats is 0 and warmup is 1"),
        (["A"], None, 1, -1, "repeats is 1 and warmup is -1"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(
    names: list[str], ceiling: str | None, repeats: int, warmup: int, message: str
) -> None:
    contestants = [Contestant(name, lambda: 1, ceiling=ceiling) for name in names]
    with pytest.raises(RequestError, match=message):
        measure(contestants, repeats=repeats, warmup=warmup)


def test_the_best_peer_has_the_highest_median() -> None:
    def measurement(name: str, role: Role, *seconds: float) -> Measurement:
        return Measurement(name=name, role=role, group="", ceiling=None, note="", num_clips=1, seconds=seconds)

    steady = measurement("steady", Role.PEER, 1.0, 1.0, 1.0)
    lucky_once = measurement("lucky once", Role.PEER, 0.1, 2.0, 2.0)
    own = measurement("own", Role.OWN, 0.1, 0.1, 0.1)
    assert best_peer([own, lucky_once, steady]) is steady
    assert best_peer([own]) is None


def test_a_pass_is_prepared_outside_the_clock_and_is_a_single_run(world: World) -> None:
    def prepare() -> None:
        world.diary.append("prepare")
        world.now += 50.0

    (measured,) = measure([world.contestant("A", 0.25, prepare=prepare)], repeats=3, warmup=2, min_seconds=9.0)
    assert measured.seconds == (0.25, 0.25, 0.25)
    assert measured.num_clips == 10
    assert world.diary == ["prepare", "A"] * 5


def test_what_prepares_a_pass_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = 0.0

    def prepare() -> None:
        nonlocal queued
        queued = 7.0

    def synchronize(device: torch.device) -> None:
        nonlocal queued
        world.now += queued
        queued = 0.0

    monkeypatch.setattr(harness, "synchronize", synchronize)
    (measured,) = measure([world.contestant("A", 1.0, prepare=prepare)], repeats=2)
    assert measured.seconds == (1.0, 1.0)


def test_an_error_while_preparing_a_pass_names_the_contestant(world: World) -> None:
    def prepare() -> None:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone") as caught:
        measure([world.contestant("cold", 1.0, prepare=prepare)])
    assert caught.value.__notes__ == ["while preparing a pass of the benchmark contestant 'cold'"]
    assert world.diary == []


def test_the_best_peer_is_that_of_the_group() -> None:
    def measurement(name: str, group: str, seconds: float) -> Measurement:
        return Measurement(
            name=name, role=Role.PEER, group=group, ceiling=None, note="", num_clips=1, seconds=(seconds,)
        )

    wav, slow_wav, flac = measurement("wav", "pcm", 1.0), measurement("slow", "pcm", 2.0), measurement("f", "flac", 3.0)
    peers = [slow_wav, wav, flac]
    assert best_peer(peers, "pcm") is wav
    assert best_peer(peers, "flac") is flac
    assert best_peer(peers, "cold") is None


@pytest.mark.gpu
def test_queued_work_on_a_gpu_is_waited_for() -> None:
    device = torch.device("cuda")
    matrix = torch.randn(8192, 8192, device=device)
    stream = torch.cuda.current_stream(device)
    harness.synchronize(device)
    for _ in range(20):
        torch.mm(matrix, matrix)
    busy = not stream.query()
    harness.synchronize(device)
    assert busy
    assert stream.query()


def test_a_pass_of_a_least_length_needs_a_warm_up_to_judge_by() -> None:
    contestant = Contestant("A", lambda: 1)
    with pytest.raises(RequestError, match=r"warmup is 0, with min_seconds 0\.5"):
        measure([contestant], warmup=0, min_seconds=0.5)
    assert measure([contestant], repeats=1, warmup=0)[0].num_clips == 1
