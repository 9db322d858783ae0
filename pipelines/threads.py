"""A pool of threads that nobody has to wait for.

`ThreadPoolExecutor` joins its threads when the interpreter exits: one read that never returns, of a hung
network or a looping hook, would keep the process alive for ever.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any

#: Seconds that `shutdown` waits for tasks under way.
END_TIMEOUT_S = 0.5


class Task(Future[Any]):
    """What `DaemonPool.submit` returns.

    Attributes:
        thread: The thread that works on it, or has done so; None before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread: threading.Thread | None = None


class _Crew:
    """The threads of a pool that share one queue."""

    def __init__(self) -> None:
        self.tasks: SimpleQueue[tuple[Task, Callable[[], Any]] | None] = SimpleQueue()
        self.idle = threading.Semaphore(0)
        self.under_way: set[Task] = set()
        self.threads: list[threading.Thread] = []

    def dismiss(self) -> None:
        """Each thread ends, once it is free; what no thread has begun is cancelled."""
        with contextlib.suppress(Empty):
            while True:
                entry = self.tasks.get_nowait()
                if entry is not None:
                    entry[0].cancel()
        for _ in self.threads:
            self.tasks.put(None)


class DaemonPool(Executor):
    """A `concurrent.futures.Executor` on daemon threads, started when they are needed.

    Args:
        threads: Most threads at a time.
        name: Beginning of their names.

    Example:
        >>> pool = DaemonPool(2, "example")
        >>> list(pool.map(abs, [-1, 2]))
        [1, 2]
        >>> pool.shutdown()
    """

    def __init__(self, threads: int, name: str) -> None:
        self._n, self._name = threads, name
        self._lock = threading.Lock()
        self._crew = _Crew()
        self._closed = False
        self._started = 0

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Task:
        """Start `call(*args, **options)` on the next thread that is free.

        Raises:
            RuntimeError: The pool was shut down.
        """
        task = Task()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool was shut down")
            crew = self._crew
            crew.under_way.add(task)
            crew.tasks.put((task, lambda: call(*args, **options)))
            if not crew.idle.acquire(blocking=False):
                self._start(crew)
        return task

    def busy(self) -> bool:
        """Whether a task has not ended."""
        return bool(self._crew.under_way)

    def forsake(self) -> None:
        """Leave tasks under way to themselves, their threads too; new tasks get new threads."""
        with self._lock:
            old, self._crew = self._crew, _Crew()
            old.dismiss()

    def lost(self, task: Task) -> bool:
        """Whether a task will never end, because its thread has."""
        if task.done():
            return False
        if task.thread is not None:
            return not task.thread.is_alive() and not task.done()
        # A thread may die between taking a task and saying so.
        return task in self._crew.under_way and not any(t.is_alive() for t in self._crew.threads)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Refuse new tasks and end the threads. Waits `END_TIMEOUT_S` at most, and cancels in any case."""
        with self._lock:
            self._closed = True
            crew = self._crew
            crew.dismiss()
        if wait:
            deadline = time.monotonic() + END_TIMEOUT_S
            for thread in crew.threads:
                if thread is not threading.current_thread():
                    thread.join(max(0.0, deadline - time.monotonic()))

    def __del__(self) -> None:
        # No lock: the collector may run this anywhere. `SimpleQueue.put` is made for that.
        crew = getattr(self, "_crew", None)
        if crew is not None and not self._closed:
            for _ in crew.threads:
                crew.tasks.put(None)

    def _start(self, crew: _Crew) -> None:
        crew.threads = [thread for thread in crew.threads if thread.is_alive()]
        if len(crew.threads) >= self._n:
            return
        # Threads must not hold the pool: dropping it is what ends them.
        thread = threading.Thread(
            target=_work, args=(crew.tasks, crew.idle, crew.under_way), name=f"{self._name}_{self._started}",
            daemon=True,
        )  # fmt: skip
        self._started += 1
        thread.start()
        crew.threads.append(thread)


def _work(
    tasks: "SimpleQueue[tuple[Task, Callable[[], Any]] | None]",
    idle: threading.Semaphore,
    under_way: set[Task],
) -> None:
    """Body of a thread."""
    while (entry := tasks.get()) is not None:
        task, call = entry
        task.thread = threading.current_thread()
        if task.set_running_or_notify_cancel():
            result, error = None, None
            try:
                result = call()
            except BaseException as caught:  # whatever it is, who waits must hear of it
                error = caught
            under_way.discard(task)
            if error is None:
                task.set_result(result)
            else:
                task.set_exception(error)
            del result, error
        under_way.discard(task)
        del entry, task, call
        idle.release()
