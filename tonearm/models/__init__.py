"""models: the log-mel front-end and the networks that classify what it gives.

:class:`LogMel` turns waveforms into log-mel spectrograms; :func:`build_model` builds the network that a configuration
describes. :mod:`tonearm.models.layers` has the parts.
"""

from tonearm.models.blocks import BlockNet, build_model
from tonearm.models.features import LogMel

__all__ = ["BlockNet", "LogMel", "build_model"]
