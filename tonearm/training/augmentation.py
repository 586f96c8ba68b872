"""The augmentation chains that a configuration describes."""

from collections.abc import Callable, Sequence
from typing import Any

from tonearm import gpu_augment
from tonearm.config import AugmentationConfig
from tonearm.gpu_augment import Augmentation, Chain


def build_chains(config: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
    """The chain for waveforms and the chain for spectrograms; the keys of a config are the effects' own arguments."""

    def reverb(**settings: Any) -> Augmentation:
        return gpu_augment.Reverb(sample_rate=sample_rate, **settings)

    effects: dict[str, Callable[..., Augmentation]] = {
        "time_shift_stretch": gpu_augment.TimeShiftStretch,
        "noise": gpu_augment.Noise,
        "reverb": reverb,
        "dropblock": gpu_augment.DropBlock,
        "time_masking": gpu_augment.TimeMasking,
        "frequency_masking": gpu_augment.FrequencyMasking,
    }

    def build(entries: Sequence[Any]) -> Chain:
        return Chain([effects[entry.name](**entry.value.model_dump()) for entry in entries])

    return build(config.waveform), build(config.specgram)
