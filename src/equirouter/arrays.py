"""The array types that all signatures use, and how two arrays of them are compared."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
RealArray: TypeAlias = NDArray[np.float32 | np.float64]
"""In either precision: what comes from training is float64, what serves is float32."""
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
