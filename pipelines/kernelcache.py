"""Numba's disk cache of compiled kernels, made safe against damage.

Numba 0.6x trusts its files: an index that a full disk cut short ends the program with a pickle error, and
of two processes that compile different variants at once, one may later run the other's. Here each file
carries a checksum over its content and the variant that it belongs to; what does not fit is compiled anew.
"""

import hashlib
from typing import Any

_MARK = b"fieldloom"
_SEAL = len(_MARK) + 32


class _Sealed:
    """Stands before a kernel's `IndexDataCacheFile`: what cannot be read is a miss, never an error."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def flush(self) -> None:
        """Forget every variant."""
        self._file.flush()

    def load(self, key: Any) -> Any:
        """What was saved for a variant, or None."""
        try:
            name = self._file._load_index().get(key)
            if name is None:
                return None
            with open(self._file._data_path(name), "rb") as opened:
                data = opened.read()
            if data[-_SEAL:] != _seal(key, data[:-_SEAL]):
                return None
            return self._file._load_data(name)  # it does not mind what stands behind
        except Exception:  # Numba meets anything in a damaged file
            return None

    def save(self, key: Any, data: Any) -> None:
        """Keep a compiled variant, if that is possible."""
        file = self._file
        try:
            index = file._load_index()
        except Exception:
            index = {}
        try:
            name = index.get(key)
            if name is None:
                taken = set(index.values())
                name = next(n for n in map(file._data_name, range(1, len(taken) + 2)) if n not in taken)
                file._save_index({**index, key: name})
            content = file._dump(data)
            with file._open_for_write(file._data_path(name)) as opened:
                opened.write(content + _seal(key, content))
        except OSError:  # a full disk or a folder that is no longer writable: the kernel works all the same
            return


def _seal(key: Any, content: bytes) -> bytes:
    return _MARK + hashlib.sha256(repr(key).encode() + content).digest()


def seal_caches() -> None:
    """From now on, seal the caches of our kernels (and of no others) when they are asked. Idempotent."""
    from numba.core.caching import Cache

    if getattr(Cache.load_overload, "seals", False):
        return
    original = Cache.load_overload

    # Kernels that `overload` makes are reached by no name of a module, hence the class: each is asked for a
    # variant here before it compiles one.
    def load_overload(self: Any, signature: Any, target: Any) -> Any:
        if self._py_func.__module__.startswith("fieldloom.") and not isinstance(self._cache_file, _Sealed):
            self._cache_file = _Sealed(self._cache_file)
        return original(self, signature, target)

    load_overload.seals = True  # type: ignore[attr-defined]
    Cache.load_overload = load_overload  # type: ignore[method-assign]
