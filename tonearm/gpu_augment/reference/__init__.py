"""Every effect once more, slow and obvious: one clip and one sample at a time, in float64, from the definition.

The tests compare the fast versions with these; read them to see what an effect does. One family a file.
A clip is a NumPy array (channel, time), a map (channel, mel, time). ``length`` is the number of valid samples.
"""

from tonearm.gpu_augment.reference.counter import gaussian, random_bits
from tonearm.gpu_augment.reference.noise import add_noise
from tonearm.gpu_augment.reference.room import convolve, synthetic_rir
from tonearm.gpu_augment.reference.specgram import drop_block, drop_block_mask, mask
from tonearm.gpu_augment.reference.time import time_shift_stretch

__all__ = [
    "add_noise",
    "convolve",
    "drop_block",
    "drop_block_mask",
    "gaussian",
    "mask",
    "random_bits",
    "synthetic_rir",
    "time_shift_stretch",
]
