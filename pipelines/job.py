"""One batch of work for the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.pipelines.header import Header


@dataclass(slots=True)
class DecodeJob:
    """Images to decode together.

    Attributes:
        encoded: n arrays uint8, 1-D, C-contiguous; 0 <= n <= batch size. `check_header` accepted each.
        windows: int32 (n, 4) = (y, x, height, width) in pixels, display orientation, inside the image as
            its `Header` describes it. DALI ends the process, now and then, for a window that is not.
        routes: n times "dali" or "pillow", from `Header.route`.
        payload: Anything; handed through.
        sizes: int32 (n, 2) = (height, width) of the whole images, display orientation; windows are held
            against them where given. `from_headers` gives them.
    """

    encoded: list[np.ndarray]
    windows: np.ndarray
    routes: list[str]
    payload: Any = None
    sizes: np.ndarray | None = None

    @classmethod
    def from_headers(
        cls, encoded: list[np.ndarray], headers: Sequence[Header], windows: np.ndarray, payload: Any = None
    ) -> "DecodeJob":
        """A job whose windows are checked against the images' headers (costs microseconds; prefer it).

        Args:
            encoded: As above.
            headers: What `check_header` gave for each.
            windows: As above.
            payload: As above.
        """
        sizes = np.array([(header.height, header.width) for header in headers], np.int32).reshape(-1, 2)
        return cls(encoded, windows, [header.route for header in headers], payload, sizes)

    def check(self, batch_size: int) -> None:
        """Refuse what DALI would end the process for, as far as it can be seen without the headers.

        Raises:
            ArgumentError: Arrays that do not fit together, or a window outside its image.
        """
        n = len(self.encoded)
        if n > batch_size or self.windows.shape != (n, 4) or len(self.routes) != n:
            found = f"{n} images, windows {self.windows.shape}, {len(self.routes)} routes"
            raise _error(f"{found}; the three must agree and be at most {batch_size}")
        if any(
            data.dtype != np.uint8 or data.ndim != 1 or not data.flags.c_contiguous for data in self.encoded
        ):
            raise _error("encoded images must be contiguous 1-D uint8 arrays")
        if not set(self.routes) <= {"dali", "pillow"}:
            raise _error(f"routes must be 'dali' or 'pillow', not {sorted(set(self.routes))}")
        if self.windows.dtype != np.int32:
            raise _error(f"windows must be int32, not {self.windows.dtype}")
        windows = self.windows.astype(np.int64)  # sums of int32 could wrap round
        inside = (windows[:, :2] >= 0) & (windows[:, 2:] >= 1)
        if self.sizes is not None:
            if self.sizes.shape != (n, 2):
                raise _error(f"sizes has shape {self.sizes.shape}, not {(n, 2)}")
            inside &= windows[:, :2] + windows[:, 2:] <= self.sizes
        if not inside.all():
            i = int(np.argmin(inside.all(axis=1)))
            size = "" if self.sizes is None else f" of {tuple(self.sizes[i].tolist())} pixels"
            raise _error(f"window {i} {tuple(self.windows[i].tolist())} does not lie in its image{size}")


def _error(why: str) -> ArgumentError:
    return ArgumentError.make("cannot take this DecodeJob", why=why)
