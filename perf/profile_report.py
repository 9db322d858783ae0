"""A profile as people read it."""

from rich.console import Console

from .profile import Profile
from .terminal import table

#: Stage -> what its seconds mean.
_MEANINGS = {
    "read": "waiting for files and their headers",
    "decode": "waiting for the JPEG decoder",
    "augment": "in the fused pass",
    "deliver": "waiting for room: the consumer is slower",
    "consumer": "the consumer waiting for a batch",
}


def show(console: Console, result: Profile) -> None:
    """Print figures, stages and the verdict."""
    settings, rates = result.settings, result.rates
    size = settings.size if isinstance(settings.size, int) else "x".join(map(str, settings.size))
    console.print(
        f"{result.n_samples:,} samples, recipe {settings.recipe}, batch {settings.batch_size}, {size} px, "
        f"CPU, {settings.threads} threads on {result.cores} cores"
    )
    spread = f"{min(rates):,.0f} to {max(rates):,.0f} in {len(rates)} rounds"
    figures = [
        ("images/s", f"{result.images_per_s:,.0f}", spread),
        ("CPU ms an image", f"{result.cpu_ms_per_image:.2f}", "all threads of the process"),
        ("first batch", f"{result.time_to_first_batch_s:.2f} s", "behind the constructor, kernels compiled"),
        ("warm-up", f"{result.warm_up_s:.2f} s", "imports and kernels, cached on disk"),
        ("peak memory", f"{result.peak_mb:,.0f} MB", "of the whole process"),
    ]
    console.print(table(("Figure", "", ""), figures, n_numbers=1))
    wall_s = sum(r.wall_s for r in result.rounds)
    stages = [
        (name, f"{seconds:.2f}", f"{100 * seconds / wall_s:.0f} %", _MEANINGS[name])
        for name, seconds in result.stages.items()
    ]
    console.print(table(("Stage", "seconds", "of the time", "spent"), stages, n_numbers=2))
    console.print(result.verdict.text, style="bold")
