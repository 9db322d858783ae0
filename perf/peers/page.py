"""A result of the benchmark of peers as docs/peers.md: every figure on the page is the result's own."""

from typing import Any

from .table import PEERS

_HEAD = """# Peers

What others need for the same work on the same files, in one run: {cores} cores ({processor}), Python
{python}, {date}; {distinct} photographs (JPEG), {threads} threads or workers each, {rounds} interleaved
rounds of about {seconds:g} s, medians. CPU ms is user + system time of the whole process tree, an image.
Reproduce: `make bench`, then `make plots`; the figures are those of [{name}](../perf/results/{name}).
Slow peers refill what they keep ready while others are measured: images/s suffer from that, CPU times hardly.

Each peer does a job in the way that its documentation teaches (`perf/peers/by_*.py`). fieldloom's warp is a
random translate field, the peers' an elastic transform of amplitude 50 and smoothness 5 px; DALI's only warp
on the CPU, `water`, is the same sine for every image, and stands apart from the random ones. "Color fields"
are per-pixel fields in place of one jitter an image: more work than any peer does.

| package | version |
|---|---|
{versions}
"""


def page(result: dict[str, Any], name: str) -> str:
    """The page.

    Args:
        result: What `bench.run` gave.
        name: Of the result's file.
    """
    machine, setting = result["machine"], result["setting"]
    versions = "\n".join(f"| {package} | {version} |" for package, version in machine["versions"].items())
    parts = [
        _HEAD.format(
            cores=machine["cores"], processor=machine["processor"], python=machine["python"],
            date=machine["date"], distinct=setting["distinct_files"], threads=setting["threads"],
            rounds=setting["rounds"], seconds=setting["seconds_a_round"], name=name, versions=versions,
        )
    ]  # fmt: skip
    parts += [_job(job, found) for job, found in result["jobs"].items()]
    parts.append("## Targets\n\n| what | figure | limit | |\n|---|---:|---:|---|\n" + _targets(result))
    if result["left_out"]:
        parts.append(
            "Left out: " + "; ".join(f"{p} ({why})" for p, why in result["left_out"].items()) + ".\n"
        )
    return "\n".join(parts)


def _job(job: str, found: dict[str, Any]) -> str:
    rows = [(peer, row) for peer, row in found["peers"].items() if "images" in row]
    rows.sort(key=lambda item: item[1]["cpu_ms_per_image"]["median"])
    lines = []
    for peer, row in rows:
        cpu, shown = row["cpu_ms_per_image"], f"**{peer}**" if PEERS[peer].ours else peer
        lines.append(
            f"| {shown} | {cpu['median']:.3g} | {cpu['min']:.3g}-{cpu['max']:.3g} "
            f"| {row['images_per_s']['median']:.0f} | {row['peak_mb']:.0f} |"
        )
    failed = [f"{peer} failed: {row['error']}" for peer, row in found["peers"].items() if "error" in row]
    table = "| peer | CPU ms | spread | images/s | MB |\n|---|---:|---:|---:|---:|\n" + "\n".join(lines)
    notes = "\n\n" + "\n".join(failed) if failed else ""
    return (
        f"## {job}: {found['what']}, batch {found['batch']}\n\n![{job}](peers/{job}.svg)\n\n{table}{notes}\n"
    )


def _targets(result: dict[str, Any]) -> str:
    return "".join(
        f"| {row['what']} | {row['figure']} | {row['limit']} | {'holds' if row['holds'] else 'missed'} |\n"
        for row in result["targets"]
    )
