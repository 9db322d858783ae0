"""Output memory that is used again once nobody looks at it any more.

A batch of 64 float32 images is 38 MB; taking it fresh from the system costs 9 400 page faults, several
milliseconds of CPU time. So arrays are kept, and one is given out again when its reference count says
that no tensor (nor view of one) refers to it. A consumer who keeps batches simply makes the pool grow.
"""

import sys
import threading
from typing import Any

import numpy as np


def _count(array: np.ndarray) -> int:
    return sys.getrefcount(array)


def _count_of_unused() -> int:
    array = np.empty(0, np.uint8)
    return _count(array)


#: What `_count` says of an array that one local name refers to. Measured, because interpreters differ in
#: which references of their own they count (3.14 leaves borrowed ones out).
_UNUSED = _count_of_unused()


class BufferPool:
    """Flat byte arrays by size.

    Args:
        keep: Free arrays kept at most; others are returned to the system.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._arrays: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An uninitialized array over memory that nothing else refers to."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self._lock:
            flat = self._free(n_bytes)
            if flat is None:
                flat = np.empty(n_bytes, np.uint8)
                self._arrays.append(flat)
            # The view holds a reference to `flat`, and a tensor made from it holds the view.
            return flat[:n_bytes].view(dtype).reshape(shape)

    def _free(self, n_bytes: int) -> np.ndarray | None:
        """A kept array that only this pool refers to; drops free ones beyond `keep` or too small."""
        found, kept, free = None, [], 0
        while self._arrays:
            array = self._arrays.pop()
            unused = _count(array) == _UNUSED
            if unused and found is None and n_bytes <= array.size <= 2 * max(n_bytes, 1):
                found = array
            elif unused and (free >= self._keep or array.size < n_bytes):
                continue
            else:
                free += unused
            kept.append(array)
        self._arrays = kept
        return found
