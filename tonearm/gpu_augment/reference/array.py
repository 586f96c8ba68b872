"""What the slow versions work on."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
