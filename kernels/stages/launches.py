"""The stages' CUDA source, its variants, argument structs and launches, as plain data.

A module of its own beside the fused pass's (`kernels/cuda.py`): base.cu, random.cu, output.cu, then a file a
stage. Nothing here touches a GPU; `kernels/device.py` executes the launches, and the tests do on a CPU.
"""

from dataclasses import dataclass
from pathlib import Path

#: Files of the stages, in the order in which they are joined; each defines HAS_<NAME>.
STAGES = ("program", "spectrum", "masks", "finish")
_SHARED = ("base.cu", "random.cu", "output.cu")


def source(stages: tuple[str, ...] = STAGES) -> str:
    """The CUDA source of some stages."""
    folder = Path(__file__).parent
    files = [folder.parent / name for name in _SHARED] + [folder / f"{name}.cu" for name in stages]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@dataclass(frozen=True, slots=True)
class StageVariant:
    """What is fixed when the stages are compiled; one module each.

    Attributes:
        dtype: 0 float32, 1 float16, 2 bfloat16, 3 uint8.
        planar: NCHW, else NHWC.
    """

    dtype: int
    planar: bool

    def definitions(self) -> tuple[str, ...]:
        """Compiler options."""
        return f"-DDTYPE={self.dtype}", f"-DPLANAR={int(self.planar)}"
