"""A per-pixel operation of the user's own: a Numba function, and the same in CUDA for GPUs.

See docs/own-kernel.md. Nothing here starts DALI: `fieldloom.pipelines.fn.per_pixel` puts it into a graph.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, njit, types
from numba.core.errors import NumbaError

from fieldloom.errors import ArgumentError
from fieldloom.kernels.cpu import share
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines.stage import make_keys

if TYPE_CHECKING:
    from fieldloom.pipelines.fn_pixels_device import DevicePixels

#: Second half of the random slots of users' operations, behind all codes of `kernels/philox.py`.
CODE = 255
LAYOUTS = ("HWC", "CHW")
_SIGNATURE = (float32, float32, float32, float32, float32, float32[::1])


class PixelOperation:
    """What happens to each pixel by itself, with four random numbers for each image.

    Args:
        function: `function(r, g, b, y, x, u) -> (r, g, b)`, in the subset of Python that Numba compiles. r,
            g, b are the pixel's values as they are stored: 0..255 of uint8, whatever they are of float32. (y,
            x) is the pixel's center, from -1 to 1 over the image's height and width. u are the image's four
            uniform numbers in [0, 1). All are float32. Results are stored as they are; for uint8 they are
            rounded half up and clipped, and NaN becomes 0.
        cuda: The same for GPUs: CUDA C++ that defines
            `__device__ void pixel(float& r, float& g, float& b, float y, float x, const float* u)`. None: the
            CPU alone. `fma_`, `exp2_`, `log_` and `sincospi_` of `kernels/base.cu` may be used.
        position: 0 to 254; operations at different positions draw different numbers.

    Raises:
        ArgumentError: Numba cannot compile the function, or it does not return three numbers; or there is a
            CUDA twin and they are not float32 (one literal without `np.float32` is enough), for then the
            twins would round differently.

    Exactness: equal bits from both twins where they do the same float32 operations in the same order; NVRTC
    gets `--fmad=false`, Numba no fast-math. Of `math`, only sqrt rounds alike on both.

    Example:
        >>> import numpy as np
        >>> from fieldloom.pipelines import PixelOperation
        >>> swap = PixelOperation(lambda r, g, b, y, x, u: (b, g, r))
        >>> swap(np.array([[[[1, 2, 3]]]], np.uint8)).tolist()
        [[[[3, 2, 1]]]]
    """

    def __init__(self, function: Callable[..., Any], cuda: str | None = None, *, position: int = 0) -> None:
        if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position <= 254:
            raise ArgumentError.make(f"position={position!r}", why="not a whole number from 0 to 254")
        if cuda is not None and (not isinstance(cuda, str) or "pixel" not in cuda):
            raise ArgumentError.make(
                f"cuda of type {type(cuda).__name__}",
                why="it defines no function `pixel`",
                remedy="Pass CUDA C++ source; see fieldloom.pipelines.PixelOperation.",
            )
        self.cuda, self.slot = cuda, position << 8 | CODE
        self._pixel = _compiled(function, strict=cuda is not None)
        self._run = _driver(self._pixel)
        self._devices: dict[str, DevicePixels] = {}

    def __call__(
        self,
        images: Any,
        *,
        ids: Any = None,
        seed: int = 0,
        epoch: int = 0,
        occurrences: Any = None,
        layout: str | None = None,
        executor: Executor | None = None,
    ) -> Any:
        """The operation on a batch.

        Args:
            images: uint8 or float32 with 3 channels, (n, height, width, 3) or (n, 3, height, width): NumPy,
                or torch on the CPU or a GPU; any strides. It is not changed.
            ids: Sample ids (n,), 0 to 2**32 - 1; None: 0, 1, .... What an image draws depends on (seed,
                epoch, id, occurrence) alone, so that a loader's `batch.ids` and `batch.epoch` give repeatable
                numbers.
            seed: 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.
            occurrences: (n,), 0 to 255; None: 0.
            layout: "HWC" or "CHW"; None: where there are three, the last axis first.
            executor: Pool that shares the images among threads of the CPU; None stays in this one.

        Returns:
            A new batch of the same kind, shape and type, contiguous; of a GPU, on torch's current stream.

        Raises:
            ArgumentError: The images are of another kind, or numbers do not fit.
            DeviceError: The images are on a GPU, and what that needs is missing.
        """
        if not hasattr(images, "shape") or not hasattr(images, "dtype"):
            raise ArgumentError.make(
                f"images of type {type(images).__name__}",
                why="not an array",
                remedy="Pass a batch of NumPy's or torch's.",
            )
        n = len(images)
        keys = make_keys(
            np.arange(n) if ids is None else np.asarray(ids), seed=seed, epoch=epoch, occurrences=occurrences
        )
        tensor = type(images).__module__.partition(".")[0] == "torch"
        shape, kind = tuple(images.shape), str(images.dtype).removeprefix("torch.")
        if len(shape) != 4:
            raise unfit(shape, kind)
        chosen = layout_of(shape[1:], kind, layout)
        if len(keys) != n:
            raise ArgumentError.make(f"{n} images and {len(keys)} ids", why="expected one for each")
        units = self.units(keys)
        if tensor and images.is_cuda:
            out = images.new_empty(shape)
            self.on_device(list(images), list(out), units, chosen, str(images.device))
            return out
        pixels = images.detach().numpy() if tensor else images
        done = np.empty(shape, pixels.dtype)
        self.on_host(list(pixels), list(done), units, chosen, executor)
        if not tensor:
            return done
        import torch

        return torch.from_numpy(done)

    def units(self, keys: Keys) -> np.ndarray:
        """The numbers that images draw, float32 (n, 4)."""
        return np.ascontiguousarray(keys.units(self.slot), np.float32)

    def on_host(
        self, images: list[np.ndarray], out: list[np.ndarray], units: np.ndarray, layout: str,
        executor: Executor | None = None,
    ) -> None:  # fmt: skip
        """Each image into its output, an array of the same shape and type."""

        def task(first: int, last: int) -> None:
            for k in range(first, last):
                self._run(_channels_last(images[k], layout), _channels_last(out[k], layout), units[k])

        share(task, len(images), executor)

    def on_device(
        self, images: list[Any], out: list[Any], units: np.ndarray, layout: str, device: str
    ) -> None:
        """Likewise on a GPU, on torch's current stream: arrays of torch or CuPy.

        Raises:
            ArgumentError: There is no CUDA twin.
            DeviceError: CuPy is missing.
        """
        if device not in self._devices:
            from fieldloom.pipelines.fn_pixels_device import DevicePixels

            self._devices[device] = DevicePixels(self.cuda, device)
        self._devices[device](images, out, units, layout)


def layout_of(shape: tuple[int, ...], kind: str, layout: str | None) -> str:
    """The layout of an image: as asked for, or where its three channels are.

    Raises:
        ArgumentError: There are none, or the type is another.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ArgumentError.make(f"layout={layout!r}", why="not known", remedy='Pass "HWC" or "CHW".')
    if kind in ("uint8", "float32") and len(shape) == 3:
        for name, axis in (("HWC", 2), ("CHW", 0)):
            if shape[axis] == 3 and layout in (None, name):
                return name
    raise unfit(shape, kind)


def unfit(shape: tuple[int, ...], kind: str) -> ArgumentError:
    """The error for images that the operation does not take."""
    return ArgumentError.make(
        f"images of shape {shape} and type {kind}",
        why="not uint8 or float32 with three channels, first or last",
        remedy="Convert them, or pass the layout that they have.",
    )


def _channels_last(image: np.ndarray, layout: str) -> np.ndarray:
    return image if layout == "HWC" else image.transpose(1, 2, 0)


def _compiled(function: Callable[..., Any], *, strict: bool) -> Any:
    """The user's function for one pixel, compiled; checked before any graph depends on it."""
    if not callable(function):
        raise ArgumentError.make(
            f"function of type {type(function).__name__}",
            why="not a function of one pixel",
            remedy="Pass function(r, g, b, y, x, u) -> (r, g, b).",
        )
    pixel = njit(error_model="numpy", forceinline=True)(getattr(function, "py_func", function))
    try:
        pixel.compile(_SIGNATURE)
    except (NumbaError, TypeError) as error:
        raise ArgumentError.make(
            f"function {getattr(function, '__name__', function)!r}",
            why=f"Numba cannot compile it: {' '.join(str(error).split())[:300]}",
            remedy="It takes (r, g, b, y, x, u) and returns (r, g, b); at module level, not within a graph.",
        ) from error
    returned = pixel.nopython_signatures[0].return_type
    values: list[Any] = [*returned] if isinstance(returned, types.BaseTuple) else []  # type: ignore[misc]
    if len(values) != 3 or not all(isinstance(value, types.Number) for value in values):
        raise ArgumentError.make(
            f"function {function.__name__!r} returns {returned}",
            why="expected three numbers",
            remedy="Return (r, g, b).",
        )
    if strict and any(value != float32 for value in values):
        raise ArgumentError.make(
            f"function {function.__name__!r} returns {returned}",
            why="a twin of CUDA's float rounds to float32 at every step",
            remedy="Write each literal as np.float32(...).",
        )
    return pixel


def _driver(pixel: Any) -> Any:
    """One image through the user's function."""

    @njit(nogil=True, error_model="numpy")
    def run(image, out, u):  # type: ignore[no-untyped-def]
        height, width = image.shape[0], image.shape[1]
        one = np.float32(1)
        for i in range(height):
            y = np.float32(2 * i + 1) / np.float32(height) - one
            for j in range(width):
                x = np.float32(2 * j + 1) / np.float32(width) - one
                r, g, b = pixel(
                    np.float32(image[i, j, 0]),
                    np.float32(image[i, j, 1]),
                    np.float32(image[i, j, 2]),
                    y,
                    x,
                    u,
                )
                _store(out, i, j, 0, np.float32(r))
                _store(out, i, j, 1, np.float32(g))
                _store(out, i, j, 2, np.float32(b))

    return run


@njit(error_model="numpy", forceinline=True)
def _store(out, i, j, c, value):  # type: ignore[no-untyped-def]
    """As `store` of the CUDA twin: the branch is chosen by the type, and false for NaN."""
    if out.itemsize == 1:
        rounded = np.float32(0)
        if value > np.float32(0):
            rounded = min(np.floor(value + np.float32(0.5)), np.float32(255))
        out[i, j, c] = rounded
    else:
        out[i, j, c] = value
