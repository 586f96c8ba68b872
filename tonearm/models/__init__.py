"""models: the log-mel front-end and the networks that classify what it gives.

:class:`LogMel` turns waveforms into log-mel spectrograms; :func:`build_model` builds a network by its name, one of
:data:`SYSTEMS`, or of a configuration's blocks; :class:`Classifier` is the two together.
"""

from tonearm.models.blocks import BlockNet
from tonearm.models.catalog import SYSTEMS, build_model, find_system
from tonearm.models.classifier import Classifier
from tonearm.models.features import LogMel
from tonearm.models.network import Network, System

__all__ = ["SYSTEMS", "BlockNet", "Classifier", "LogMel", "Network", "System", "build_model", "find_system"]
