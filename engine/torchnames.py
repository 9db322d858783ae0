"""What training scripts and frameworks read from a `torch.utils.data.DataLoader`, by its names."""

import os
from typing import Any

from .sources import Source


class TorchNames:
    """Mixed into `DataLoader`, which sets those names itself that are options of its own."""

    source: Source
    threads: int
    _given: Any
    _prefetch: int
    _timeout_s: float | None

    @property
    def dataset(self) -> Any:
        """The data set that was passed; of paths and pairs of columns the `source`, whose length is right."""
        by_name = isinstance(self._given, (str, bytes, tuple, os.PathLike))
        return self.source if by_name or not hasattr(self._given, "__len__") else self._given

    @property
    def num_workers(self) -> int:
        """Threads of each stage."""
        return self.threads

    @property
    def prefetch_factor(self) -> int:
        """Finished batches that may wait."""
        return self._prefetch

    @property
    def timeout(self) -> float:
        """Longest wait for a batch in seconds; 0 is for ever."""
        return self._timeout_s or 0.0
