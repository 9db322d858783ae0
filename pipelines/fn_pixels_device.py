"""The CUDA twin of a per-pixel operation: the user's function inside a kernel over a table of images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels import cuda
from fieldloom.kernels.device import allocate, current_stream, stage
from fieldloom.kernels.launcher import CupyLauncher, Launcher

PIXEL_IMAGE = np.dtype(
    [
        ("source", "u8"), ("target", "u8"), ("source_strides", "i8", 3), ("target_strides", "i8", 3),
        ("u", "f4", 4), ("height", "i4"), ("width", "i4"),
    ],
    align=True,
)  # fmt: skip
PIXEL_ARGS = np.dtype([("images", "u8"), ("blocks", "i4")], align=True)
#: Pixels of a thread, at least: images are small, and a block has 256 threads.
_PIXELS_PER_THREAD = 4

_KERNEL = r"""
struct PixelImage {
  u64 source, target;
  i64 source_strides[3], target_strides[3];  // of rows, columns and channels, in elements
  float u[4];
  int height, width;
};

struct PixelArgs { u64 images; int blocks; };

FUNCTION void store(u8* out, float value) {
  *out = value > 0.0f ? (u8)smaller(floorf(value + 0.5f), 255.0f) : (u8)0;
}
FUNCTION void store(float* out, float value) { *out = value; }

extern "C" __global__ void per_pixel(const PixelArgs args) {
  const PixelImage& image = ((const PixelImage*)args.images)[blockIdx.y];
  const ELEMENT* source = (const ELEMENT*)image.source;
  ELEMENT* target = (ELEMENT*)image.target;
  const i64* from = image.source_strides;
  const i64* to = image.target_strides;
  i64 pixels = (i64)image.height * image.width;
  for (i64 k = (i64)blockIdx.x * blockDim.x + threadIdx.x; k < pixels; k += (i64)args.blocks * blockDim.x) {
    int i = (int)(k / image.width), j = (int)(k % image.width);
    const ELEMENT* at = source + i * from[0] + j * from[1];
    float r = (float)at[0], g = (float)at[from[2]], b = (float)at[2 * from[2]];
    float y = (float)(2 * i + 1) / (float)image.height - 1.0f;
    float x = (float)(2 * j + 1) / (float)image.width - 1.0f;
    pixel(r, g, b, y, x, image.u);
    ELEMENT* out = target + i * to[0] + j * to[1];
    store(out, r);
    store(out + to[2], g);
    store(out + 2 * to[2], b);
  }
}
"""


@dataclass(frozen=True, slots=True)
class PixelModule:
    """What is compiled: the user's source for one element type.

    Attributes:
        code: CUDA C++ that defines `pixel`.
        element: "uint8" or "float32".
    """

    code: str
    element: str

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of its kernels."""
        return ("per_pixel",)

    def source(self) -> str:
        """CUDA source that includes nothing."""
        base = (Path(cuda.__file__).parent / "base.cu").read_text(encoding="utf-8")
        return f"{base}\n{self.code}\n{_KERNEL}"

    def definitions(self) -> tuple[str, ...]:
        """Compiler options."""
        return (f"-DELEMENT={'u8' if self.element == 'uint8' else 'float'}",)


class DevicePixels:
    """An operation on one device.

    Args:
        code: CUDA C++ that defines `pixel`.
        device: A torch device with an index; the tests pass "cpu" with a launcher of their own.
        launcher: Makes what executes a module; None compiles for the device.

    Raises:
        ArgumentError: There is no code.
    """

    def __init__(self, code: str | None, device: str, launcher: Any = None) -> None:
        import torch

        if code is None:
            raise ArgumentError.make(
                f"a per-pixel operation without a CUDA twin, on {device}",
                why="it was given a Numba function alone",
                remedy="Pass cuda=..., or images on the CPU.",
            )
        self._code, self._device = code, torch.device(device)
        self._make = launcher or (lambda module: CupyLauncher([module], self._device.index or 0))
        self._launchers: dict[str, Launcher] = {}

    def __call__(self, images: list[Any], out: list[Any], units: np.ndarray, layout: str) -> None:
        """Enqueue it on torch's current stream; arrays of torch or CuPy, all of one type."""
        import torch

        if not images:
            return
        element = str(images[0].dtype).removeprefix("torch.")
        if element not in self._launchers:
            self._launchers[element] = self._make(PixelModule(self._code, element))
        table = pixel_table(images, out, units, layout)
        memory = allocate((table.nbytes,), torch.uint8, self._device)
        stage(table, memory)
        most = int((table["height"].astype(np.int64) * table["width"]).max())
        blocks = max(1, -(-most // (cuda.THREADS * _PIXELS_PER_THREAD)))
        args = np.zeros(1, PIXEL_ARGS)
        args["images"], args["blocks"] = memory.data_ptr(), blocks
        self._launchers[element].launch(
            cuda.Launch("per_pixel", (blocks, len(images), 1), 0, args), current_stream(self._device)
        )


def pixel_table(images: list[Any], out: list[Any], units: np.ndarray, layout: str) -> np.ndarray:
    """PIXEL_IMAGE records of images and their outputs."""
    table = np.zeros(len(images), PIXEL_IMAGE)
    order = (0, 1, 2) if layout == "HWC" else (1, 2, 0)
    for k, (image, target) in enumerate(zip(images, out, strict=True)):
        row = table[k]
        row["source"], row["target"] = _pointer(image), _pointer(target)
        row["source_strides"] = [_strides(image)[axis] for axis in order]
        row["target_strides"] = [_strides(target)[axis] for axis in order]
        row["height"], row["width"] = image.shape[order[0]], image.shape[order[1]]
    table["u"] = units
    return table


def _pointer(array: Any) -> int:
    """Address of the first element: torch's, CuPy's or NumPy's."""
    if hasattr(array, "data_ptr"):
        return int(array.data_ptr())
    return int(array.data.ptr if hasattr(array.data, "ptr") else array.ctypes.data)


def _strides(array: Any) -> tuple[int, ...]:
    """Strides in elements."""
    if hasattr(array, "data_ptr"):
        return tuple(array.stride())
    return tuple(stride // array.itemsize for stride in array.strides)
