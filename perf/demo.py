"""`fieldloom demo`: the main job on photographs that it draws itself, and a picture of the result."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console

from fieldloom import __version__

from . import machine
from .image_list import spread
from .photos import write_photo_folder
from .profiling.ours import OurTarget
from .profiling.profile import Plan, Profile, profile, warm_up
from .profiling.report import report_of
from .profiling.settings import Settings
from .terminal import bar, step, table

#: Recipes that are measured: (preset, what it is).
_RECIPES = (
    ("imagenet", "crop, flip, normalize"),
    ("rfa", "and warp, color fields"),
)
_ROWS = 8


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo does.

    Attributes:
        data: Folder for the photographs; drawn if it is not there.
        output: Contact sheet to write.
        settings: Loader settings; `recipe` is not used.
        n_photos: How many photographs.
        seconds: How long each recipe is measured.
    """

    data: Path
    output: Path
    settings: Settings
    n_photos: int = 200
    seconds: float = 4.0


def demo(plan: DemoPlan, console: Console) -> dict[str, Any]:
    """Run the demo.

    Returns:
        Its figures, ready for JSON.
    """
    threads = plan.settings.threads
    shown = f"{threads} threads" if threads else f"all {machine.cores()} cores"
    console.print(f"[bold]fieldloom {__version__}[/bold], on the CPU with {shown}. A GPU is not needed.")
    with step(console, f"drawing {plan.n_photos} photographs into {plan.data} (kept for the next time)"):
        write_photo_folder(plan.data, plan.n_photos)
    with step(console, "compiling kernels (some 20 s the first time, then cached on disk)"):
        warm_up_s = warm_up(replace(plan.settings, recipe="rfa"))
    results = []
    for recipe, meaning in _RECIPES:
        with bar(console, f"loading with {recipe} ({meaning})") as on_progress:
            target = OurTarget(str(plan.data), replace(plan.settings, recipe=recipe), str(plan.data))

            def tell(text: str, part: float, rate: float, show: Any = on_progress) -> None:
                show(part, rate)

            results.append(profile(target, Plan(seconds=plan.seconds, ablate=False), tell))
    console.print(_figures(results))
    with step(console, "drawing the contact sheet"):
        _write_sheet(plan)
    _say_what_next(plan, console)
    reports = {result.target["recipe"]: report_of(result) for result in results}
    return {"warm_up_s": warm_up_s, "sheet": str(plan.output), "recipes": reports}


def _figures(results: list[Profile]) -> Any:
    rows = [
        (
            f"{result.target['recipe']}: {meaning}",
            f"{result.images_per_s:,.0f}",
            f"{result.cpu_ms_per_image:.2f}",
            f"{result.time_to_first_batch_s:.2f} s",
        )
        for result, (_, meaning) in zip(results, _RECIPES, strict=True)
    ]
    return table(("Recipe", "images/s", "CPU ms an image", "first batch"), rows, n_numbers=3)


def _write_sheet(plan: DemoPlan) -> None:
    from .showcase import showcase

    files = sorted(plan.data.glob("*/*.jpg"))
    ids = spread(len(files), _ROWS)
    images = [_load(files[id]) for id in ids]
    size = plan.settings.size if isinstance(plan.settings.size, int) else min(plan.settings.size)
    showcase(images, ids, size=size, seed=plan.settings.seed).save(plan.output)


def _load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _say_what_next(plan: DemoPlan, console: Console) -> None:
    lines = (
        f"Wrote {plan.output}: open it to see what the fields do.",
        "",
        "Try next:",
        f"  fieldloom preview {plan.data} -o sheet.png     what a recipe makes of your own images",
        f"  fieldloom profile {plan.data}                  where the time goes, and what to turn",
    )
    for line in lines:
        console.print(line, markup=False)
