"""Sources that hang: in a wait, in a loop, in a read from a network that does not answer."""

import socket
import threading
import time

import numpy as np

from fieldloom.sources import Source
from helpers import encode, pixels


def sleep() -> None:
    time.sleep(1e6)


def loop() -> None:
    while True:
        pass


def network() -> None:
    ours, _theirs = socket.socketpair()
    ours.recv(1)


HANGS = {"sleep": sleep, "loop": loop, "network": network}


class Hanging(Source):
    """Some samples hang: until `release` is set, or for ever in one of HANGS.

    Args:
        n: Samples.
        stuck: Those that hang.
        stored: As for all sources; "windows" reads parts of pixels.
        how: None: on `release`.
        bad: Samples that are no images.
    """

    def __init__(
        self, n: int = 24, stuck=(9,), stored: str = "encoded", how: str | None = None, bad=()
    ) -> None:
        self.targets = np.arange(n, dtype=np.int64)
        self.windowed = stored == "windows"
        self.stored = "pixels" if self.windowed else stored  # type: ignore[assignment]
        self.stuck, self.bad, self._how = set(stuck), set(bad), how
        self.release, self.reached = threading.Event(), threading.Event()
        self._data = np.frombuffer(encode(1), np.uint8)

    def name(self, i: int) -> str:
        return f"record {i}"

    def _hang(self, i: int) -> None:
        if i in self.stuck:
            self.reached.set()
            HANGS[self._how]() if self._how else self.release.wait()

    def read(self, i: int) -> np.ndarray:
        self._hang(i)
        return self._data if i not in self.bad else self._data[:0]

    def pixels(self, i: int) -> np.ndarray:
        self._hang(i)
        return pixels(seed=i)

    def sizes(self, ids: np.ndarray) -> np.ndarray:
        return np.tile(np.array([24, 32], np.int64), (len(ids), 1))

    def window(self, i: int, rect: tuple[int, int, int, int]) -> np.ndarray:
        y, x, height, width = rect
        return self.pixels(i)[y : y + height, x : x + width]
