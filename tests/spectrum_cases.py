"""Batches and tables that the tests of PASTA share."""

import numpy as np
from kernel_calls import from_python
from kernel_cases import noise, photo

from fieldloom.kernels.records import SAMPLE
from fieldloom.kernels.stages import spectrum_pass
from fieldloom.kernels.stages.spectrum import Pasta, SpectrumTables, spectrum_tables

#: The steps of the CPU twin.
scratch, rows_forward, draw_factors, scale_columns, rows_back = map(
    from_python,
    (
        spectrum_pass.scratch, spectrum_pass.rows_forward, spectrum_pass.draw_factors,
        spectrum_pass.scale_columns, spectrum_pass.rows_back,
    ),
)  # fmt: skip

SEED = 0x1234_5678_9ABC
SLOT = 0x30F
LOW, HIGH = np.uint32(SEED & 0xFFFFFFFF), np.uint32(SEED >> 32)
#: Mild enough that few pixels meet 0 or 255.
MILD = (0.6, 0.1, 2.0)
#: Sides of every kind: 1, powers of two, odd, prime, mixed; more and fewer lines than lie side by side.
SIZES = (
    (1, 1), (1, 7), (7, 1), (2, 2), (3, 2), (5, 6), (6, 5), (8, 9), (31, 17), (16, 16), (96, 70), (70, 66),
    (4, 150), (150, 3),
)  # fmt: skip


def records(n: int) -> np.ndarray:
    """SAMPLE records of samples 0, 1, ...: their counter words alone."""
    samples = np.zeros(n, SAMPLE)
    samples["sample"], samples["epoch"] = 5 + np.arange(n), 3
    samples["stream"] = (np.arange(n) % 3) << 24
    return samples


def planes(n: int, height: int, width: int) -> np.ndarray:
    """Photographs and noise as uint8 (n, 3, h, w)."""
    images = [(noise if k % 2 else photo)(height, width, k) for k in range(n)]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def tables_of(law: tuple[float, float, float], height: int, width: int) -> SpectrumTables:
    """Tables of alpha, beta, k."""
    return spectrum_tables(Pasta(*law, 1.0, SLOT), height, width)


def run(tables: SpectrumTables, working: np.ndarray, active: np.ndarray | None = None) -> np.ndarray:
    """PASTA on the CPU, on a copy."""
    out, n = working.copy(), len(working)
    active = np.ones(n, np.int32) if active is None else active
    tables.run(active, records(n), out, LOW, HIGH, 0, n)
    return out
