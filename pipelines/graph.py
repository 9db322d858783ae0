"""The decoding graph: encoded images and windows in, pixels out, on the CPU or on a GPU."""

import os
from collections.abc import Callable
from typing import Any

from fieldloom.errors import DeviceError


def build_graph(
    source: Callable[[], Any], batch_size: int, threads: int, prefetch: int, device: int | None
) -> Any:
    """A built DALI pipeline with one output: uint8 HWC windows, RGB, EXIF orientation applied.

    Args:
        source: Gives encoded images, starts (n, 2) and shapes (n, 2), int32, or raises StopIteration.
        batch_size: Largest number of images.
        threads: Decoder threads of the host; a GPU's decoder uses them as well.
        prefetch: Batches that DALI works on ahead.
        device: CUDA device that decodes, or None for the CPU.

    Raises:
        DeviceError: DALI cannot use that device.
    """
    # Crops of ever different sizes fragment malloc's arenas: +130 MB within three epochs. DALI's own
    # pool for blocks from this size on keeps memory flat at the same speed (read once, at import).
    os.environ.setdefault("DALI_MALLOC_POOL_THRESHOLD", "16384")
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    pipe = Pipeline(batch_size, threads, device, prefetch_queue_depth=prefetch)
    with pipe:
        encoded, starts, shapes = fn.external_source(source=source, num_outputs=3, batch=True)
        # Absolute integers: relative windows round differently from our own arithmetic now and then.
        crops = fn.decoders.image_slice(
            encoded,
            device="cpu" if device is None else "mixed",
            start=starts,
            shape=shapes,
            axes=(0, 1),
            output_type=types.RGB,  # type: ignore[attr-defined]
        )
        pipe.set_outputs(crops)
    if device is None:
        pipe.build()
        return pipe
    try:
        pipe.build()
    except Exception as error:  # several C++ kinds; the driver, the device or its memory
        raise DeviceError.make(
            f"DALI cannot decode on cuda:{device}",
            why=" ".join(str(error).split())[:300],
            remedy='Check that its CUDA fits the driver, or pass device="cpu".',
        ) from error
    return pipe
