"""A store for tests, with a protocol of its own: in memory, counting its requests, failing when told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "flaky"


class FlakyFileSystem(MemoryFileSystem):
    """Memory, with a diary.

    Attributes:
        requests: ("cat" | "info" | "find", path, start, end) each.
        failures: Errors that the next requests raise, one each.
        waits: For tests that replace `time.sleep`.
    """

    protocol = PROTOCOL
    cachable = True
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    requests: ClassVar[list[tuple[Any, ...]]] = []
    failures: ClassVar[list[Exception]] = []
    waits: ClassVar[list[float]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace(f"{PROTOCOL}://", "memory://"))

    def _note(self, *request: Any) -> None:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
        self._note("cat", self._strip_protocol(path), start, end)
        return super().cat_file(path, start=start, end=end, **kwargs)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._note("info", self._strip_protocol(path))
        return super().info(path, **kwargs)

    def find(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self._note("find", self._strip_protocol(path))
        return super().find(path, *args, **kwargs)


@contextmanager
def flaky_store(files: dict[str, bytes]) -> Iterator[type[FlakyFileSystem]]:
    """The store with these files ("/bucket/a.jpg"), registered as "flaky://"."""
    fsspec.register_implementation(PROTOCOL, FlakyFileSystem, clobber=True)
    FlakyFileSystem.clear_instance_cache()
    system = fsspec.filesystem(PROTOCOL)
    system.pipe(files)
    for diary in (FlakyFileSystem.requests, FlakyFileSystem.failures, FlakyFileSystem.waits):
        diary.clear()
    try:
        yield FlakyFileSystem
    finally:
        FlakyFileSystem.store.clear()
        FlakyFileSystem.pseudo_dirs[:] = [""]
        FlakyFileSystem.failures.clear()
        FlakyFileSystem.clear_instance_cache()
