"""A profile as people read it in a terminal."""

from typing import Any

from rich.console import Console

from ..terminal import table

Report = dict[str, Any]


def show(console: Console, report: Report) -> None:
    """Print figures, stages and the verdict of `report_of`."""
    console.print(headline(report), markup=False)
    console.print(table(("Figure", "", ""), _figures(report), n_numbers=1))
    console.print(
        table(("Stage", "CPU ms", "of CPU", "alone ms", "waited ms", "what"), _stages(report), n_numbers=4)
    )
    if report["limits"]:
        rows = [
            (row["name"], f"{row['images_per_s']:,.0f}", f"{row['percent']:.0f} %")
            for row in report["limits"]
        ]
        console.print(table(("Limit", "images/s", "reached"), rows, n_numbers=2))
    if report["training"]:
        _show_training(console, report["training"])
    if report["sweep"]:
        points = [_point(point) for point in report["sweep"]]
        console.print(table(("Sweep", "images/s", "CPU ms an image", ""), points, n_numbers=2))
    if report["against"]:
        peers = [_peer(row) for row in report["against"]]
        heads = ("Peer", "images/s", "CPU ms an image", "of ours", "does")
        console.print(table(heads, peers, n_numbers=3))
    for row in report["hot"][:3]:
        console.print(f"{100 * row['share']:.0f} % in {row['function']}", markup=False)
    for note in report["notes"]:
        console.print(f"Note: {note}.", markup=False)
    console.print(report["verdict"], style="bold", markup=False)


def headline(report: Report) -> str:
    """What was measured, in one line."""
    target, cores = report["target"], report["machine"]["cores"]
    batch = target.get("batch_size")
    if target["kind"] == "fieldloom":
        size = target["size"] if isinstance(target["size"], int) else "x".join(map(str, target["size"]))
        device = "CPU" if target["device"] == "cpu" else target["device"]
        return (
            f"{target['n_samples']:,} samples, recipe {_recipe(target['recipe'])}, batch {batch}, {size} px, "
            f"{device}, {target['threads']} threads on {cores} cores"
        )
    knob = "num_workers" if "num_workers" in target else "threads"
    workers = "" if target.get(knob) is None else f", {target[knob]} {knob}"
    return f"{target['name']} ({target['kind']}), batch {batch or 'not known'}{workers}, {cores} cores"


def _recipe(recipe: Any) -> str:
    return recipe if isinstance(recipe, str) else "of " + (", ".join(recipe) or "a resize")


def _figures(report: Report) -> list[tuple[str, str, str]]:
    rates = report["images_per_s_rounds"]
    spread = f"{min(rates):,.0f} to {max(rates):,.0f} in {len(rates)} rounds"
    rows = [
        ("images/s", f"{report['images_per_s']:,.0f}", spread),
        ("CPU ms an image", f"{report['cpu_ms_per_image']:.2f}", "the process, its threads and children"),
        ("wall ms an image", f"{report['wall_ms_per_image']:.2f}", f"{report['busy_cores']:.1f} cores busy"),
        (
            "first batch",
            f"{report['time_to_first_batch_s']:.2f} s",
            "from the constructor, kernels compiled",
        ),
        ("warm-up", f"{report['warm_up_s']:.2f} s", "imports and kernels, cached on disk"),
        ("read", *read_figure(report)),
        ("delivered", f"{report['output_mb_per_s']:,.1f} MB/s", "tensors"),
        ("peak memory", f"{report['peak_memory_mb']:,.0f} MB", "the process and its children"),
    ]
    if report["queue"] is not None:
        capacity = report["queue"]["capacity"]
        room = "batches ready when the consumer asks" + (f", of {capacity}" if capacity else "")
        rows.append(("queue", f"{report['queue']['mean_waiting']:.1f}", room))
    gpu = report["gpu"]
    if gpu:
        use = "not known" if gpu["use_percent"] is None else f"{gpu['use_percent']:.0f} %"
        rows += [
            ("GPU use", use, gpu["name"]),
            ("GPU memory", f"{gpu['memory_mb']:,.0f} MB", "of all programs"),
        ]
    return rows


def read_figure(report: Report) -> tuple[str, str]:
    """What was read a second, and how much of it came from a disk."""
    if report["read_mb_per_s"] < 0.01:
        return "-", "none was seen: mapped files are not"
    return f"{report['read_mb_per_s']:,.1f} MB/s", f"{report['disk_mb_per_s']:,.1f} MB/s of it from a disk"


def _stages(report: Report) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in report["stage_costs"]:
        share = row["cpu_share"]
        rows.append(
            (
                row["name"], _ms(row["cpu_ms"]), "" if share is None else f"{100 * share:.0f} %",
                _ms(row["wall_ms"]), _ms(row["waited_ms"]), row["meaning"],
            )
        )  # fmt: skip
    return rows


def _limits(report: Report) -> list[tuple[str, ...]]:
    return [
        (row["name"], f"{row['images_per_s']:,.0f}", f"{row['percent']:.0f} %") for row in report["limits"]
    ]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _show_training(console: Console, found: Report) -> None:
    rows = [
        ("step", f"{found['step_ms']:.1f} ms", "as measured"),
        ("step and loader", f"{found['images_per_s']:,.0f}", "images/s"),
        ("waited", f"{100 * found['waited_share']:.0f} %", "of the time, for the loader"),
    ]
    if found["needed_images_per_s"] is not None:
        rows.insert(1, ("step needs", f"{found['needed_images_per_s']:,.0f}", "images/s"))
    if found["ideal_images_per_s"] is not None:
        lost = f"images/s; loading costs {100 * found['lost_to_loading']:.0f} % of training"
        rows.append(("perfect loader", f"{found['ideal_images_per_s']:,.0f}", lost))
    console.print(table(("Training", "", ""), rows, n_numbers=1))
    console.print("The loader hides behind the step." if found["hides"] else "The step waits for the loader.")


def _point(point: Report) -> tuple[str, ...]:
    names = [n for n in ("threads", "batch", "prefetch") if n in point]
    label = " ".join(f"{name}={point[name]}" for name in names)
    if point["images_per_s"] is None:
        return label, "-", "-", point["error"]
    rates = point["images_per_s_rounds"]
    return label, f"{point['images_per_s']:,.0f}", f"{point['cpu_ms_per_image']:.2f}", _range(rates)


def _peer(row: Report) -> tuple[str, ...]:
    if row["images_per_s"] is None:
        return row["peer"], "-", "-", "-", row["error"]
    ratio = "-" if row["cpu_ratio"] is None else f"{row['cpu_ratio']:.1f} x"
    return row["peer"], f"{row['images_per_s']:,.0f}", f"{row['cpu_ms_per_image']:.2f}", ratio, row["does"]


def _range(rates: list[float]) -> str:
    return f"{min(rates):,.0f} to {max(rates):,.0f}" if len(rates) > 1 else ""
