"""One peer at one job, in a process of its own, driven line by line.

`python -m fieldloom.perf.peers.process`: a first line of JSON says what to do, and each further line "run N"
is answered with one line of JSON. CPU time is that of the whole process tree, worker processes included.

What was made ahead while others were measured is taken before each measurement: otherwise it would count
as images without work (torch's DataLoader keeps two batches a worker).
"""

import json
import sys
import time
from contextlib import ExitStack
from typing import Any

from fieldloom.perf.process_tree import children, children_cpu_seconds, shared_megabytes
from fieldloom.perf.usage import cpu_seconds, peak_megabytes

from .table import PEERS
from .work import Epoch, Work


def main() -> None:
    """Serve until the input ends."""
    setting = json.loads(sys.stdin.readline())
    peer = PEERS[setting.pop("peer")]
    setting["files"] = [(path, label) for path, label in setting["files"]]
    work = Work(**setting)
    with ExitStack() as stack:
        epoch: Epoch | None = None
        for line in sys.stdin:
            n = int(line.split()[1])
            start = time.perf_counter()
            try:
                if epoch is None:
                    epoch = stack.enter_context(peer.make()(work))
                    epoch(1)
                    _answer({"first_s": time.perf_counter() - start})
                    continue
                epoch(peer.ahead * work.batch)
                _answer(_measure(epoch, n))
            except Exception as error:  # a peer that fails here is a row of the report, not the end of it
                _answer({"error": f"{type(error).__name__}: {error}"[:300]})
                return


def _measure(epoch: Epoch, n: int) -> dict[str, Any]:
    before, wall = cpu_seconds() + children_cpu_seconds(children()), time.perf_counter()
    done = epoch(n)
    wall = time.perf_counter() - wall
    workers = children()
    cpu = cpu_seconds() + children_cpu_seconds(workers) - before
    peak_mb = peak_megabytes() + shared_megabytes(workers)
    return {"n": done, "cpu_s": cpu, "wall_s": wall, "peak_mb": peak_mb}


def _answer(value: dict[str, Any]) -> None:
    # Marked, because some peers print to standard output too.
    print("\n@" + json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
