"""Handing outputs to DALI without a copy, by an operator that is not public: off unless it is asked for.

DALI copies what a `python_function` returns, 38.5 MB a batch of 64 float32 images of 224 px. The operator
behind its JAX plugin adopts memory instead, but takes uniform batches only. So there are two: the
`python_function` that has always been there writes into memory of ours and returns a token for each image,
and the private operator, which gets the tokens, hands that memory over. What is saved stands in
perf/results/embedding-cpu.json.

The operator may change or vanish with any version of DALI. Before it is first used in a process, a pipeline
of two numbers tests that it does what we know of it; if not, outputs are copied, and the log says so.
"""

import functools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from nvidia.dali.data_node import DataNode

from fieldloom.errors import ArgumentError

#: Environment variable that asks for it where the argument does not say: "1" or "0".
SWITCH = "FIELDLOOM_DALI_DIRECT"
_log = logging.getLogger("fieldloom")


def use_direct(direct: bool | None) -> bool:
    """Whether outputs are handed over: as asked for by argument or environment, and if it works.

    Raises:
        ArgumentError: The argument or the variable is neither yes nor no.
    """
    if direct is None:
        value = os.environ.get(SWITCH, "0")
        if value not in ("0", "1"):
            raise ArgumentError.make(f"{SWITCH}={value}", why="not known", remedy="Set it to 0 or 1.")
        direct = value == "1"
    if not isinstance(direct, bool):
        raise ArgumentError.make(f"direct={direct!r}", why="not True, False or None")
    return direct and works()


@functools.cache
def works() -> bool:
    """Whether this DALI has the operator and it hands memory over: tested once a process."""
    found: list[bool] = []
    # In a thread of its own: within the function of a graph with conditions, DALI would look for the test's
    # operators in that function's source, and fail.
    thread = threading.Thread(target=lambda: found.append(_tested()), name="fieldloom-direct")
    thread.start()
    thread.join()
    return found == [True]


def _tested() -> bool:
    from nvidia.dali import fn as dali
    from nvidia.dali.pipeline import Pipeline

    try:
        arrays = [np.arange(6, dtype=np.float32).reshape(2, 3) + k for k in range(2)]
        hand = HandOver(1)
        for array in arrays:
            hand.waiting.append((array,))
        pipe = Pipeline(2, 1, None, prefetch_queue_depth=1)
        with pipe:
            tokens = dali.external_source(source=[np.zeros((2, 1), np.uint8)] * 2, batch=True)
            pipe.set_outputs(adopt(tokens, hand, ["X"]))
        for array in arrays:
            (out,) = pipe.run()
            found = np.asarray(out.as_tensor())
            if found.ctypes.data != array.ctypes.data or not (found == array).all():
                raise ValueError("it gave other memory")
    except Exception as error:  # whatever a private thing may raise
        _log.warning("DALI outputs are copied, since its private operator does not work here: %r", error)
        return False
    return True


class HandOver:
    """The function of the private operator: what waits, in order.

    Args:
        n_outputs: Arrays of a batch.

    Attributes:
        waiting: Arrays of batches that were made, (n, ...) each.
    """

    def __init__(self, n_outputs: int) -> None:
        self.n_outputs = n_outputs
        self.waiting: deque[tuple[np.ndarray, ...]] = deque()

    def __call__(self, *tokens: Any) -> tuple[Any, ...]:
        """Capsules, which keep their arrays alive until DALI lets go of them."""
        return tuple(array.__dlpack__() for array in self.waiting.popleft())


def adopt(tokens: DataNode, hand: Callable[..., Any], layouts: list[str]) -> Any:
    """The private operator in a graph.

    Args:
        tokens: One of equal shape for each sample, made by what fills `hand`.
        hand: Gives the outputs; it must be kept alive by the caller as long as the pipeline.
        layouts: Of the outputs.
    """
    out: Any = _operator()(hand, num_outputs=len(layouts), output_layouts=layouts, preserve=True)(tokens)
    return tuple(out) if len(layouts) > 1 else out


@functools.cache
def _operator() -> Any:
    """A class for the operator, as the JAX plugin makes it, without JAX."""
    from nvidia.dali import ops

    base = ops.python_op_factory("_JaxFunction", "_JaxFunction", "_JaxFunction", generated=False)  # type: ignore[attr-defined]

    class Adopting(base):  # type: ignore[misc, valid-type]
        def __init__(self, function: Callable[..., Any], **options: Any) -> None:
            self.function = function
            super().__init__(function_id=id(function), device="cpu", **options)

    return Adopting
