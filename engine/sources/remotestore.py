"""Objects behind a protocol ("s3://bucket/key"), read through fsspec."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import DecodeError, MissingError, SourceError
from fieldloom.sources.files import MAX_FILE_BYTES
from fieldloom.sources.store import SKIP, Stamp, Store, empty, gone, too_large

#: Attempts for what may pass (time-outs, broken connections), and the wait before the second in seconds; it
#: doubles each time.
ATTEMPTS = 3
FIRST_WAIT_S = 0.2

_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "last_modified", "mtime", "created")
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
#: Network libraries whose errors are no OSError.
_NETWORK = ("Connect", "Disconnect", "Timeout", "SlowDown", "IncompleteRead", "ServerError")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_Result = TypeVar("_Result")


class RemoteStore(Store):
    """Objects of any protocol that fsspec knows; credentials are the ones that its file systems find.

    One object is one request: `read` asks for the first `max_bytes` + 1 bytes, so that nothing larger is
    taken and nobody asks for the size first. What may pass is tried three times.
    """

    remote = True

    def __init__(self, max_bytes: int = MAX_FILE_BYTES) -> None:
        super().__init__(max_bytes)
        self._systems: dict[tuple[str, str], Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Connections stay behind; another process makes its own."""
        return self.__dict__ | {"_systems": {}}

    def read(self, path: str, sample: int | None = None) -> NDArray[np.uint8]:
        """See `Store.read`."""
        data = self._ask(path, sample, lambda fs, inner: fs.cat_file(inner, start=0, end=self.max_bytes + 1))
        if len(data) > self.max_bytes:
            raise too_large(self.stamp(path, sample).size, self.max_bytes, path, sample)
        if not len(data):
            raise empty(path, sample)
        return np.frombuffer(data, np.uint8)

    def read_range(
        self, path: str, offset: int, n: int, sample: int | None = None, *, expected: Stamp | None = None
    ) -> NDArray[np.uint8]:
        """See `Store.read_range`; `expected` is not looked at."""
        if n > self.max_bytes:
            raise too_large(n, self.max_bytes, path, sample)
        if not n:
            return np.empty(0, np.uint8)
        data = self._ask(path, sample, lambda fs, inner: fs.cat_file(inner, start=offset, end=offset + n))
        if len(data) > n:
            raise SourceError.make(
                "cannot read a part",
                why=f"{n} bytes were asked for and {len(data)} came",
                remedy="The store must answer range requests.",
                sample=sample,
                file=path,
            )
        return np.frombuffer(data, np.uint8)

    def stamp(self, path: str, sample: int | None = None) -> Stamp:
        """See `Store.stamp`."""
        info: Mapping[str, Any] = self._ask(path, sample, lambda fs, inner: fs.info(inner))
        size = info.get("size")
        if info.get("type") == "directory" or not isinstance(size, int):
            why = "it is a folder" if info.get("type") == "directory" else "the store does not say its size"
            raise SourceError.make("cannot open", why=why, remedy="Check the path.", file=path)
        return Stamp(size, next((str(info[key]) for key in _VERSIONS if info.get(key)), ""))

    def files(self, path: str, *, below: bool = False) -> list[str]:
        """See `Store.files`."""

        def ask(fs: Any, inner: str) -> list[str]:
            root = fs._strip_protocol(inner).rstrip("/")
            found = fs.find(root, maxdepth=None if below else 1)
            return [name[len(root) :].lstrip("/") for name in found if name.startswith(f"{root}/")]

        names = self._ask(path, None, ask)
        if not names and not self._ask(path, None, lambda fs, inner: fs.exists(inner)):
            raise MissingError.make(
                "cannot open", why="there is no such folder", remedy="Check the path.", file=path
            )
        return sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))

    def _ask(self, path: str, sample: int | None, request: Callable[[Any, str], _Result]) -> _Result:
        """What a request gives; errors by their names, after three attempts where another may help."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return request(self._system(path), path)
            except SourceError:
                raise
            except Exception as error:
                if not _may_pass(error) or attempt == ATTEMPTS:
                    _refuse(error, path, sample, attempt)
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError  # the loop returns or raises

    def _system(self, path: str) -> Any:
        protocol, _, rest = path.partition("://")
        host = rest.partition("/")[0]  # a bucket, or the host that some protocols connect to
        if (protocol, host) not in self._systems:
            self._systems[protocol, host] = _connect(path, protocol)
        return self._systems[protocol, host]


def _connect(path: str, protocol: str) -> Any:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise SourceError.make(
            "cannot open",
            why="remote paths need fsspec",
            remedy="Run `pip install fieldloom[remote]`.",
            file=path,
        ) from None
    try:
        return url_to_fs(path)[0]
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        remedy = f"Run `pip install {package}`." if package else "Install what fsspec asks for."
        raise SourceError.make("cannot open", why=str(error), remedy=remedy, file=path) from None
    except ValueError as error:
        raise SourceError.make(
            "cannot open", why=str(error), remedy="Check the protocol, or register it with fsspec.", file=path
        ) from None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, (OSError, TimeoutError)):
        return not isinstance(error, _LASTING)
    return any(word in type(error).__name__ for word in _NETWORK)


def _refuse(error: Exception, path: str, sample: int | None, attempts: int) -> NoReturn:
    """The named error for what a file system raised."""
    shown = f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        raise gone(path, sample) from error
    if isinstance(error, (IsADirectoryError, NotADirectoryError)) and sample is not None:
        raise DecodeError.make("cannot read", why=shown, remedy=SKIP, sample=sample, file=path) from error
    if _may_pass(error):
        raise SourceError.make(
            "cannot reach",
            why=f"{attempts} attempts failed, the last with {shown}",
            remedy="Check the network and the store.",
            sample=sample,
            file=path,
        ) from error
    raise SourceError.make(
        "cannot open",
        why=shown,
        remedy="Check the credentials and the rights of this user at the store.",
        sample=sample,
        file=path,
    ) from error
