"""LLVM operations that Numba lacks: explicit fma, bit casts, unaligned loads, half-float rounding.

Equal bits on both twins rest on these: every multiply-add is an explicit `fma` (no compiler may
contract or split it), and nothing here depends on a math library.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import extending, njit, types

# Its published types ask for the typing context as an argument of every call.
intrinsic: Any = extending.intrinsic

#: Options of every kernel: released GIL, disk cache, IEEE division; never fastmath, never parallel=True
#: (our own thread pool runs samples side by side, and parallel=True costs seconds of start-up).
KERNEL: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
#: Options of helper functions: `forceinline` lets LLVM see through them, so that scratch arrays of the
#: caller are known not to alias and loops over them vectorize.
INLINE: dict[str, Any] = {**KERNEL, "forceinline": True}


@functools.cache
def source_digest(folder: Path) -> str:
    """Digest of all sources that code of a kernels' folder may be compiled from: its own, and those above."""
    digest = hashlib.sha256()
    for each in sorted({Path(__file__).parent, folder}):
        for file in sorted(each.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls (helpers take `njit(**INLINE)` or `njit(**KERNEL)`).

    Numba's disk cache is valid as long as the one file that holds the function is unchanged; it does not
    see the helpers that were compiled into it. Here the stamp is the digest of all its sources instead,
    so that neither an edit nor an upgrade can meet stale machine code (tests/test_kernel_cache.py).
    """
    dispatcher = njit(**KERNEL)(function)
    file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if file is not None:
        file._source_stamp = source_digest(Path(function.__code__.co_filename).parent)
    return dispatcher


@intrinsic
def fma(_typing, _a, _b, _c):  # type: ignore[no-untyped-def]
    """a * b + c in float32, rounded once."""
    f32 = types.float32

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.fma(*args)

    return f32(f32, f32, f32), codegen


@intrinsic
def float_bits(_typing, _x):  # type: ignore[no-untyped-def]
    """The 32 bits of a float32 as uint32."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.IntType(32))

    return types.uint32(types.float32), codegen


@intrinsic
def bits_float(_typing, _x):  # type: ignore[no-untyped-def]
    """The float32 with these 32 bits."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.uint32), codegen


def _unary(name: str):  # type: ignore[no-untyped-def]
    def typing(_typing, _x):  # type: ignore[no-untyped-def]
        def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
            function = builder.module.declare_intrinsic(name, [ir.FloatType()])
            return builder.call(function, args)

        return types.float32(types.float32), codegen

    return intrinsic(typing)


sqrt = _unary("llvm.sqrt")
floor = _unary("llvm.floor")


@intrinsic
def load_u32(_typing, _address, _offset):  # type: ignore[no-untyped-def]
    """Four bytes at `address + offset` (no alignment needed) as a little-endian uint32."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(32).as_pointer())
        value = builder.load(pointer)
        value.align = 1
        return value

    return types.uint32(types.uint64, types.uint64), codegen


@intrinsic
def as_bytes(_typing, _address):  # type: ignore[no-untyped-def]
    """The address as a pointer to uint8, for `numba.carray`."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.CPointer(types.uint8)(types.uint64), codegen


@intrinsic
def half_bits(_typing, _x):  # type: ignore[no-untyped-def]
    """A float32 rounded to float16 (to nearest, ties to even), as its 16 bits."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), codegen
