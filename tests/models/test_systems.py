"""The numbers of every named system, pinned; where a source prints them, its own test compares them with it."""

import pytest

from tonearm.models import SYSTEMS, LogMel, System
from tonearm.models.count import count_costs

# classes of the source, parameters, multi-adds of a 5-s and of a 10-s clip, GB of a training step of 32 × 5 s.
# Parameters that a source prints are equal to it, but for those whose notes say otherwise: recurrences have torch's two
# biases a gate, and CNN14 with 128 bands has 128 more in its first norm.
NUMBERS = {
    "se-resnet-s": (10, 319_658, 54_937_600, 108_945_408, 0.10),
    "se-resnet-m": (50, 1_283_434, 133_811_200, 266_597_376, 0.23),
    "erann-8x4-4": (527, 24_504_849, 13_102_489_088, 26_204_446_208, 8.17),
    "erann-8x4-5": (527, 38_198_545, 20_464_362_880, 40_927_978_880, 10.33),
    "erann-8x1-6": (527, 54_435_473, 63_269_448_960, 126_537_903_360, 17.45),
    "erann-8x2-6": (527, 54_532_241, 38_591_212_800, 77_181_431_040, 13.46),
    "erann-8x4-6": (527, 54_919_313, 29_460_737_280, 58_920_480_000, 12.54),
    "erann-8x8-6": (527, 56_467_601, 26_499_820_800, 52_998_647_040, 12.36),
    "erann-4x2-3": (527, 13_741_457, 9_657_734_784, 19_315_119_744, 6.53),
    "cnn14": (527, 80_753_615, 9_954_019_328, 20_041_926_656, 3.63),
    "cnn14-128": (527, 80_753_743, 19_902_765_056, 40_078_579_712, 5.96),
    "resnet38": (527, 73_783_247, 11_624_925_184, 23_391_078_400, 5.20),
    "wavegram-logmel-cnn14": (527, 81_065_487, 12_765_923_328, 25_665_734_656, 6.86),
    "gated-cnn": (17, 1_264_273, 950_193_664, 1_928_855_040, 1.09),
    "gated-cnn-released": (17, 1_190_289, 941_936_128, 1_911_160_320, 1.08),
    "gated-cnn-attention": (17, 1_268_642, 1_694_346_752, 3_417_169_920, 1.72),
    "gated-cnn-half": (80, 521_616, 244_142_080, 496_066_560, 0.54),
    "mobilenet-fsd2019": (80, 3_287_024, 4_323_768_320, 8_647_536_640, 12.50),
    "weak-features": (527, 5_002_047, 960_717_824, 1_939_980_288, 1.13),
    "seed-github": (50, 4_575_672, 1_007_971_894, 2_027_249_164, 1.13),
    "seed-simple": (50, 110_983_506, 718_855_584, 1_359_801_144, 1.93),
    "seed-advanced": (50, 25_524_670, 1_022_375_992, 2_156_325_880, 0.89),
    "seed-lstm": (50, 36_530, 28_249_216, 56_462_464, 0.10),
    "seed-crnn-a": (50, 91_995, 11_780_224, 23_668_352, 0.03),
    "seed-vgg19": (50, 139_773_938, 21_407_255_552, 42_789_135_872, 4.98),
}
# What autograd keeps may change with torch's version; the table rounds it to 0.01 GB.
MEMORY = {"rel": 0.02, "abs": 0.01}


def test_every_system_is_in_the_table() -> None:
    assert list(NUMBERS) == list(SYSTEMS)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    num_classes, parameters, in_5_seconds, in_10_seconds, gigabytes = NUMBERS[name]
    system = SYSTEMS[name]
    assert system.num_classes == num_classes
    costs = count_costs(system, duration_seconds=5)
    assert costs.parameters == parameters
    assert costs.multi_adds == in_5_seconds
    assert count_costs(system, duration_seconds=10).multi_adds == in_10_seconds
    assert costs.training_bytes / 1e9 == pytest.approx(gigabytes, **MEMORY)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_a_system_can_be_built_for_its_own_front_end_and_says_where_it_is_from(system: System) -> None:
    front_end = LogMel(system.features, sample_rate=system.sample_rate)
    assert front_end.frames(5 * system.sample_rate) > 0
    assert system.name == system.name.lower()
    assert system.source
    assert all(note[0] != " " and len(note) > 10 for note in system.notes)
