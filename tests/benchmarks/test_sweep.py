from tonearm.benchmarks.sweep import Settings, describe, sweep

AXES = {"workers": (1, 2, 3), "samples": ("float32", "int16")}


def test_the_best_of_each_axis_is_taken_and_nothing_is_measured_twice() -> None:
    asked: list[Settings] = []

    def rate(settings: Settings) -> float:
        asked.append(settings)
        return {1: 10.0, 2: 30.0, 3: 20.0}[int(settings["workers"])] + (5.0 if settings["samples"] == "int16" else 0.0)

    assert sweep(AXES, rate) == {"workers": 2, "samples": "int16"}
    assert asked == [
        {"workers": 1, "samples": "float32"},
        {"workers": 2, "samples": "float32"},
        {"workers": 3, "samples": "float32"},
        {"workers": 2, "samples": "int16"},
    ]


def test_a_first_value_that_is_best_stays() -> None:
    assert sweep(AXES, lambda settings: -float(settings["workers"])) == {"workers": 1, "samples": "float32"}


def test_the_note_says_what_was_swept_and_what_won() -> None:
    best = {"workers": 2, "samples": "int16", "decoder": "load_wav"}
    assert describe(AXES | {"decoder": ("load_wav",)}, best) == (
        "workers 2 of 1, 2, 3; samples int16 of float32, int16; decoder load_wav"
    )
