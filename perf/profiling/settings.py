"""What of our loader is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured; the meanings are those of `fieldloom.DataLoader`."""

    recipe: str = "rfa"
    batch_size: int = 64
    size: int | tuple[int, int] = 224
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    prefetch: int = 2
    dtype: str = "float32"
    layout: str = "NCHW"
    on_bad_sample: str = "raise"
