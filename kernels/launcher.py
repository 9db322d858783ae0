"""Compiling the CUDA source with NVRTC and launching its kernels through CuPy.

CuPy's own `RawModule` is not used to compile: it appends `-ftz=true` to every compilation, and flushed
subnormals would break the twin rule. NVRTC is called with our options alone, and CuPy loads the result.
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fieldloom.errors import DeviceError, KernelBuildError

from . import cuda

INSTALL = 'Run: pip install "fieldloom[cuda13]" (or [cuda12], by the driver).'

# NVRTC's wrapper holds the GIL only in parts, and two threads need not compile the same variant.
_lock = threading.Lock()


class Module(Protocol):
    """What one compilation makes: a variant of the pass or of its stages."""

    def __hash__(self) -> int:
        """Equal variants are compiled once."""
        ...

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of its kernels."""
        ...

    def source(self) -> str:
        """CUDA source that includes nothing."""
        ...

    def definitions(self) -> tuple[str, ...]:
        """Compiler options besides the architecture."""
        ...


class Launcher(Protocol):
    """Executes launches, in order, on a stream."""

    def launch(self, launch: cuda.Launch, stream: int) -> None:
        """Enqueue one kernel; `stream` is a CUDA stream handle, which a CPU launcher ignores."""
        ...


class _Handle:
    """A stream handle in the CUDA stream protocol, by which CuPy takes it without owning it."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._handle


class CupyLauncher:
    """Launches kernels on one CUDA device; each module is compiled when first constructed, once a process.

    Args:
        modules: What is compiled.
        index: CUDA device.

    Raises:
        DeviceError: CuPy is not installed.
        KernelBuildError: NVRTC refused the source; its log is in the message.
    """

    def __init__(self, modules: Sequence[Module], index: int) -> None:
        self._cupy = import_cupy()
        self._index = index
        self._functions: dict[str, Any] = {}
        with _lock:
            for module in modules:
                self._functions |= _load(module, index)
        self._streams: dict[int, Any] = {}

    def launch(self, launch: cuda.Launch, stream: int) -> None:
        """Enqueue one kernel on a stream of this device; returns before it runs."""
        with self._cupy.cuda.Device(self._index):
            # CuPy passes a NumPy array of one element by value: here the whole struct of arguments.
            self._functions[launch.kernel](
                launch.grid, (cuda.THREADS, 1, 1), (launch.args,), shared_mem=4 * launch.shared_floats,
                stream=self._stream(stream),
            )  # fmt: skip

    def registers(self) -> dict[str, int]:
        """Registers of a thread, by kernel."""
        driver = self._cupy.cuda.driver
        attribute = getattr(driver, "CU_FUNC_ATTRIBUTE_NUM_REGS", 4)
        return {name: driver.funcGetAttribute(attribute, f.ptr) for name, f in self._functions.items()}

    def _stream(self, handle: int) -> Any:
        # A few handles in a process's life: torch's streams come from pools of 32.
        if handle not in self._streams:
            self._streams[handle] = self._cupy.cuda.Stream.from_external(_Handle(handle))
        return self._streams[handle]


def import_cupy() -> Any:
    """CuPy.

    Raises:
        DeviceError: It is not installed, or was built for another CUDA.
    """
    try:
        import cupy
        from cupy.cuda import nvrtc  # noqa: F401 - its library is opened lazily
    except Exception as error:  # ImportError, and what its loader raises for a CUDA that does not fit
        raise DeviceError.make(
            "cannot run CUDA kernels", why=f"CuPy cannot be imported ({_line(error)})", remedy=INSTALL
        ) from error
    return cupy


@functools.cache
def _load(variant: Module, index: int) -> Mapping[str, Any]:
    """The kernels of a module, loaded on a device."""
    cupy = import_cupy()
    try:
        with cupy.cuda.Device(index) as device:
            binary = build(variant, f"sm_{device.compute_capability}")
            module = cupy.cuda.Module()
            module.load(binary)
            return {name: module.get_function(name) for name in variant.kernels}
    except DeviceError:
        raise
    except Exception as error:  # the driver's and the runtime's errors are of several kinds
        raise KernelBuildError.make(
            f"cannot load the CUDA kernels on cuda:{index}",
            why=_line(error),
            remedy="Check that the driver is as new as the CUDA of the installed CuPy.",
        ) from error


@functools.cache
def build(variant: Module, architecture: str) -> bytes:
    """The machine code of a variant ("sm_90"); needs NVRTC, but no GPU.

    Raises:
        KernelBuildError: NVRTC refused; its log is in the message.
    """
    import_cupy()
    from cupy.cuda import nvrtc

    options = (*cuda.OPTIONS, *variant.definitions(), f"--gpu-architecture={architecture}")
    program = None
    try:
        program = nvrtc.createProgram(variant.source(), "fieldloom.cu", (), ())
        nvrtc.compileProgram(program, options)
        return bytes(nvrtc.getCUBIN(program))
    except Exception as error:  # NVRTCError, and RuntimeError where its library is missing
        log = "" if program is None else nvrtc.getProgramLog(program).strip()
        raise KernelBuildError.make(
            f"cannot compile the CUDA kernels for {architecture} with {' '.join(variant.definitions())}",
            why=_line(error) + (f"; the compiler says:\n{log}\n" if log else ""),
            remedy="A GPU newer than NVRTC needs a newer CuPy; otherwise please report this message.",
        ) from error
    finally:
        if program is not None:
            nvrtc.destroyProgram(program)


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


__all__ = ["INSTALL", "CupyLauncher", "Launcher", "Module", "build", "import_cupy"]
