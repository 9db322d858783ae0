"""A bounded queue between the loader's thread and its consumer that can be closed from both ends."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Closed(Exception):  # noqa: N818 - a signal, not an error
    """The other end has gone."""


class Gone(Exception):  # noqa: N818 - a signal, not an error
    """The producer ended and did not say so."""


class Handoff(Generic[Item]):
    """First in, first out; `put` waits for room, `get` for an item; `close` wakes both.

    Attributes:
        waited_put_s: Seconds that the producer has waited for room (the consumer is slower).
        waited_get_s: Seconds that the consumer has waited for an item (the producer is slower).
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._closed = False
        self._changed = threading.Condition()
        self.waited_put_s = 0.0
        self.waited_get_s = 0.0

    def put(self, item: Item) -> None:
        """Append an item.

        Raises:
            Closed: Nobody will take it.
        """
        start = time.perf_counter()
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            self.waited_put_s += time.perf_counter() - start
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None, alive: Callable[[], bool] | None = None) -> Item:
        """Take the oldest item.

        Args:
            timeout_s: How long to wait; None: for ever.
            alive: Whether the producer lives; asked while waiting.

        Raises:
            Closed: There is none and none will come.
            TimeoutError: None came within `timeout_s`.
            Gone: There is none, and the producer has ended.
        """
        start = time.perf_counter()
        with self._changed:
            while not self._items and not self._closed:
                # No item can come between the look above and this one: `put` needs the lock.
                if alive is not None and not alive():
                    raise Gone
                left = 0.5 if timeout_s is None else start + timeout_s - time.perf_counter()
                if left <= 0:
                    self.waited_get_s += time.perf_counter() - start
                    raise TimeoutError
                # A bounded wait lets Ctrl-C through on every platform.
                self._changed.wait(min(left, 0.5))
            self.waited_get_s += time.perf_counter() - start
            if not self._items:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def closed(self) -> bool:
        """Whether an end was closed."""
        return self._closed

    def close(self) -> None:
        """Drop what waits and wake both ends. Idempotent."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)
