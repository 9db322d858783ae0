"""`make gallery`: docs/gallery.md, every operation of the registry with its code and a strip of pictures.

The photographs are drawn here, and each picture is what the loader delivers for its sample and epoch, so
the page can be made again anywhere.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fieldloom as fl
from fieldloom.registry import GROUPS, REGISTRY, Entry

from .photos import draw_photo

#: Side of a picture, pictures of a strip, space between them, in pixels.
SIDE, N_SHOWN, GAP = 104, 5, 4
#: The photograph of most strips, and those of the mixing ones: scenes with something to see.
_SUBJECT, _GROUP = 5, (5, 0, 11, 6, 1, 15, 2, 12)
_SEED = 7
Picture = NDArray[np.uint8]


def given() -> dict[str, Any]:
    """What the registry's codes call `table` and `masks`."""
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)
    left = np.clip(1.5 - 3 * ramp, 0, 1)
    right = left[::-1]
    rows = np.stack([1 - left - right, left, right])[:, None, :]
    masks = np.broadcast_to(rows, (3, SIDE, SIDE))[None]
    return {"masks": np.ascontiguousarray(masks), "table": np.full((16, 17), 0.7, np.float32)}


def pictures(entry: Entry) -> list[Picture]:
    """The original, then what the operation makes of it in epochs 0, 1, ...; of mixes several samples."""
    step = entry.build(**given())
    if entry.group == "mixing":
        images = np.stack([draw_photo(i, SIDE, SIDE) for i in _GROUP])
        labels = np.arange(len(images))
        with fl.DataLoader(
            (images, labels), batch_size=len(images), size=SIDE, seed=_SEED, augment=[step], dtype="uint8",
            layout="NHWC", device="cpu", threads=1,
        ) as loader:  # fmt: skip
            mixed = next(iter(loader)).images.numpy()
        return [images[0], *mixed[: N_SHOWN - 1]]
    photo = draw_photo(_SUBJECT, 2 * SIDE, 2 * SIDE)
    small = np.asarray(Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BOX))
    image = photo if entry.group == "crops" else small
    return [small, *(_one(image, step, epoch) for epoch in range(N_SHOWN - 1))]


def _one(image: Picture, step: Any, epoch: int) -> Picture:
    out = fl.augment(image, augment=[step], id=3, epoch=epoch, seed=_SEED, size=SIDE, layout="NHWC").numpy()
    shown: Picture = (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)
    return shown


def strip(cells: list[Picture]) -> Image.Image:
    """Pictures side by side on white."""
    image = Image.new("RGB", (N_SHOWN * (SIDE + GAP) - GAP, SIDE), "white")
    for k, cell in enumerate(cells):
        image.paste(Image.fromarray(cell), (k * (SIDE + GAP), 0))
    return image


def page() -> str:
    """The text of docs/gallery.md."""
    lines = [
        "# Gallery",
        "",
        "Every operation on a photograph that the library draws itself: first the original, then what a",
        "loader delivers of it in four epochs (of mixes: four samples of a batch). `make gallery` draws",
        "this page from the registry (`fieldloom.registry`).",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.capitalize()}"]
        for entry in (e for e in REGISTRY if e.group == group):
            lines += ["", f"### {entry.name.replace('_', ' ')}", "", entry.says, "", "```python", entry.code]
            lines += ["```", "", f"![{entry.name}](gallery/{entry.name}.jpg)"]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Draw the page and its pictures into a folder."""
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    for old in (folder / "gallery").glob("*.jpg"):
        old.unlink()
    for entry in REGISTRY:
        strip(pictures(entry)).save(folder / "gallery" / f"{entry.name}.jpg", quality=80, optimize=True)
    (folder / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[1] / "docs")
