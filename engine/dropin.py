"""`torch.utils.data.DataLoader`'s arguments: which of ours each is, and a line on those that are none.

| torch's | here |
|---|---|
| `dataset` | `source` |
| `num_workers` | `threads`; 0 is 1 |
| `generator` | `seed`, its `initial_seed()` |
| `prefetch_factor` | `prefetch` |
| `timeout` | `timeout_s`; 0 is none |
| `shuffle=None` | `shuffle=False` |
| `batch_size`, `sampler`, `batch_sampler`, `drop_last`, `pin_memory` | the same |
| `persistent_workers`, `pin_memory_device`, `multiprocessing_context`, `in_order=True` | a warning |
| `worker_init_fn=None`, `collate_fn=None` or torch's `default_collate` | a warning: not needed |
| `collate_fn`, `worker_init_fn`, `in_order=False` | an error that says what to do instead |
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from fieldloom.errors import ArgumentError

from .options import number, whole_number
from .unknown import refuse_unknown

_NOT_NEEDED = {
    "persistent_workers": "its threads live as long as the loader",
    "pin_memory_device": "tensors arrive on the loader's device",
    "multiprocessing_context": "it works in threads and starts no process",
    "in_order": "batches always come in order",
    "worker_init_fn": "it works in threads, and all that is random follows seed=",
    "collate_fn": "batches are made as tensors",
}
#: Those whose silent loss would change what is delivered: what to do instead.
_INSTEAD = {
    "in_order": "Leave it out: a batch that is late is waited for, so that runs can be repeated.",
    "worker_init_fn": "Leave it out: there are no workers to seed, and seed= fixes all that is random.",
    "collate_fn": "Apply it to each batch in the training loop; mixing is augment=[..., fl.MixUp()], further "
    "columns are in batch.fields.",
}
#: Options on which a warning was given: once in a process is enough.
_said: set[str] = set()


def of_torch(given: dict[str, Any], constructor: Callable[..., None], **own: Any) -> dict[str, Any]:
    """Our options, those among them that came under torch's names included.

    Args:
        given: Options that are not ours by name.
        constructor: Whose options they are.
        **own: Those of ours that torch calls otherwise, by our names.

    Returns:
        `own`, completed.

    Raises:
        ArgumentError: An option is unknown, given under both names, has no meaning here and would be
            missed, or there is no data set.
    """
    options, left = dict(own), dict(given)
    defaults = {name: p.default for name, p in inspect.signature(constructor).parameters.items()}
    for name, (ours, converted) in _RENAMED.items():
        if name not in left:
            continue
        value = converted(left.pop(name))
        if own[ours] is not defaults[ours] and value is not None:
            raise ArgumentError.make(
                f"{name} together with {ours}", why="they are one option", remedy="Leave one of them out."
            )
        options[ours] = own[ours] if value is None else value
    for name in [name for name in left if name in _NOT_NEEDED]:
        _answer(name, left.pop(name))
    refuse_unknown(left, constructor)
    if options["source"] is None:
        raise ArgumentError.make("DataLoader without a data set", remedy="Pass one as the first argument.")
    return options


def refuse_positional_shuffle(size: object) -> None:
    """torch's third positional argument is `shuffle`, ours is `size`."""
    if isinstance(size, bool):
        raise ArgumentError.make(
            f"size={size}",
            why="the third argument is the output size",
            remedy=f"Pass shuffle={size} by name.",
        )


def _answer(name: str, value: Any) -> None:
    if name in _INSTEAD and not _is_default(name, value):
        raise ArgumentError.make(
            f"{name}={value!r}", why=f"there is none here: {_NOT_NEEDED[name]}", remedy=_INSTEAD[name]
        )
    if name not in _said:
        _said.add(name)
        warnings.warn(f"DataLoader does not need {name}: {_NOT_NEEDED[name]}", UserWarning, stacklevel=4)


def _is_default(name: str, value: Any) -> bool:
    if name == "in_order":
        return value is True
    if value is None:
        return True
    home = str(getattr(value, "__module__", ""))
    return (
        name == "collate_fn"
        and getattr(value, "__name__", "") == "default_collate"  # a partial has no name
        and home.startswith("torch.utils.data")
    )


def _threads(value: Any) -> int:
    return whole_number("", "num_workers", value, 0, 256) or 1


def _seed(value: Any) -> int | None:
    if value is None:
        return None
    if not callable(getattr(value, "initial_seed", None)):
        raise ArgumentError.make(
            f"generator={value!r}", why="not a torch.Generator", remedy="Pass one, or seed=, a whole number."
        )
    return int(value.initial_seed()) % 2**64


def _prefetch(value: Any) -> int | None:
    return None if value is None else whole_number("", "prefetch_factor", value, 1, 64)


def _timeout_s(value: Any) -> float | None:
    return number("", "timeout", value, 0, 1e6) or None


#: torch's name: ours, and the value that it is here (None: as if it had not been given).
_RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "dataset": ("source", lambda value: value),
    "num_workers": ("threads", _threads),
    "generator": ("seed", _seed),
    "prefetch_factor": ("prefetch", _prefetch),
    "timeout": ("timeout_s", _timeout_s),
}
