"""tonearm: read audio at full speed and never let the model starve.

Audio is packed once into HDF5 shards (:mod:`tonearm.dataio.pack`), read back by memory map and decoded with NVIDIA
DALI (:mod:`tonearm.dataio.loader`), augmented a whole batch at a time on the device where it lies
(:mod:`tonearm.gpu_augment`), turned into log-mel spectrograms and classified (:mod:`tonearm.models`), trained
(:mod:`tonearm.training`) and measured at every step (:mod:`tonearm.benchmarks`). The command ``tonearm`` strings these
together; each part is also a library.

The parts depend on each other in one direction only::

    errors, seeding, batch, config  <-  dataio | gpu_augment  <-  models  <-  training  <-  benchmarks, cli

Importing ``tonearm`` imports neither torch nor DALI.
"""

__version__ = "0.1.0"
