"""Decoding where one bad image spoils nothing but itself.

DALI ends a whole pipeline for one damaged body. nvImageCodec's own decoder, which DALI calls, gives a
status per image instead: slower (one call at a time, no reading ahead), and bit for bit the same pixels
for every image of route "dali", with its default options and windows in display orientation.
"""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from fieldloom.errors import DecodeError

_REMEDY = 'Repair or remove the file, or pass on_bad_sample="skip" or "substitute".'

# nvImageCodec's name for "no GPU": any other negative number would ask for the current one.
_CPU_DEVICE = -99999


class IsolatedDecoder:
    """Decodes images one by one or together; each fails alone. Built when first used.

    Args:
        threads: Worker threads of the decoder.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._decoder: Any = None

    def decode(
        self, encoded: Sequence[np.ndarray], windows: np.ndarray | None
    ) -> list[np.ndarray | DecodeError]:
        """Decode images whose headers have been checked.

        Args:
            encoded: n arrays uint8, 1-D.
            windows: int32 (n, 4) = (y, x, height, width) in pixels, display orientation; whole images
                without it.

        Returns:
            For each image uint8 (height, width, 3), RGB, C-contiguous, or the error that it met.
        """
        from nvidia import nvimgcodec  # type: ignore[attr-defined]

        results: list[np.ndarray | DecodeError] = []
        streams, places = [], []
        for i, data in enumerate(encoded):
            results.append(
                DecodeError.make(
                    "cannot decode", why="its pixel data are damaged, or its window leaves it", remedy=_REMEDY
                )
            )
            try:
                stream = nvimgcodec.CodeStream(data)
                if windows is not None:
                    y, x, height, width = (int(v) for v in windows[i])
                    region = nvimgcodec.Region(y, x, y + height, x + width)
                    stream = stream.get_sub_code_stream(nvimgcodec.CodeStreamView(region=region))
                elif stream.width < 1 or stream.height < 1:
                    continue
            except Exception:  # several C++ kinds; all mean that the header is unusable
                continue
            streams.append(stream)
            places.append(i)
        if not streams:
            return results
        with self._lock:
            if self._decoder is None:
                cpu = nvimgcodec.Backend(nvimgcodec.BackendKind.CPU_ONLY)
                # It prints a warning when asked for as many threads as there are processors.
                threads = max(1, min(self._threads, (os.cpu_count() or 1) - 1))
                self._decoder = nvimgcodec.Decoder(
                    device_id=_CPU_DEVICE, max_num_cpu_threads=threads, backends=[cpu]
                )
            rgb = nvimgcodec.DecodeParams(sample_format=nvimgcodec.SampleFormat.I_RGB)
            images = self._decoder.decode(streams, params=rgb)
        for i, image in zip(places, images, strict=True):
            if image is None:
                continue
            pixels = np.ascontiguousarray(np.asarray(image))
            if windows is None or pixels.shape == (windows[i, 2], windows[i, 3], 3):
                results[i] = pixels
        return results

    def close(self) -> None:
        """Free the decoder and its threads; it is built anew when used again."""
        self._decoder = None
