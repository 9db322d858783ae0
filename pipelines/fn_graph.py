"""How functions of ours become operators of a graph, on the CPU and on a GPU."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from nvidia.dali import fn as _dali
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from fieldloom.errors import ArgumentError, FieldloomError
from fieldloom.pipelines import fn_host
from fieldloom.pipelines.fn_direct import HandOver, adopt, use_direct
from fieldloom.pipelines.fn_keys import KeyInputs, KeyOptions, check_nodes
from fieldloom.pipelines.fn_passes import Passes
from fieldloom.pipelines.fn_pixels import PixelOperation

BOTH, HOST = ("cpu", "gpu"), ("cpu",)
_Function = TypeVar("_Function", bound=Callable[..., Any])


def operator(function: _Function) -> _Function:
    """Marks what users call within graphs: DALI's conditions leave it, and its errors, as they are."""

    @functools.wraps(function)
    def called(*inputs: Any, **options: Any) -> Any:
        try:
            return function(*inputs, **options)
        except FieldloomError as error:
            # Without this, a graph with conditions turns errors of all classes that it does not know into one
            # of its own.
            error.ag_pass_through = True  # type: ignore[attr-defined]
            raise

    return cast(_Function, do_not_convert(called))


def augmented(
    images: DataNode,
    passes: Passes,
    keys: KeyOptions,
    *,
    sizes: DataNode | None = None,
    masks: DataNode | Sequence[DataNode] | None = None,
    ignore: int = 255,
    threads: int | None = None,
    direct: bool | None = None,
) -> Any:
    """An operator that does `passes` with `keys`: what all others are made of. Arguments as for `fused`."""
    given, taken = keys.inputs()
    if sizes is not None:
        if not passes.fixed:
            raise ArgumentError.make(
                "sizes with size=None",
                why="windows are drawn for one output size",
                remedy="Pass size, or whole images.",
            )
        given["sizes"] = sizes
    maps = _masks(masks, ignore, passes)
    nodes, threads = {"images": images, **maps, **given}, _threads(threads)
    check_nodes(nodes, lambda name: BOTH if name == "images" else (images.device,) if name in maps else HOST)
    if images.device == "gpu":
        from fieldloom.pipelines.fn_device import AugmentOnDevice

        return _on_device(
            [images, *maps.values()], given, taken,
            lambda tickets: AugmentOnDevice(tickets, passes, len(maps), ignore), [passes.layout],
        )  # fmt: skip
    layouts = [passes.layout] + ["HW"] * len(maps)
    if use_direct(direct) and passes.fixed:
        hand = HandOver(len(layouts))
        # The function keeps `hand` alive, and DALI's operator the function.
        function = fn_host.Augment(list(nodes), taken, passes, threads, ignore, hand)
        return adopt(python_function(nodes.values(), function, [""]), hand, layouts)
    function = fn_host.Augment(list(nodes), taken, passes, threads, ignore)
    return python_function(nodes.values(), function, layouts)


def _masks(masks: DataNode | Sequence[DataNode] | None, ignore: int, passes: Passes) -> dict[str, DataNode]:
    if masks is None:
        return {}
    why = passes.one.plan.maps_follow()
    if why is not None:
        raise ArgumentError.make("masks with this recipe", why=why, remedy="Leave that out of the recipe.")
    if not hasattr(ignore, "__index__") or isinstance(ignore, bool):
        raise ArgumentError.make(f"ignore={ignore!r}", why="not a whole number")
    each: list[Any] = list(masks) if isinstance(masks, list | tuple) else [masks]
    return {f"masks[{k}]": node for k, node in enumerate(each)}


def with_pixels(
    images: DataNode, operation: PixelOperation, keys: KeyOptions, layout: str, threads: int | None
) -> Any:
    """An operator of a user's own operation; arguments as for `fieldloom.pipelines.fn.per_pixel`."""
    given, taken = keys.inputs()
    nodes, threads = {"images": images, **given}, _threads(threads)
    check_nodes(nodes, lambda name: BOTH if name == "images" else HOST)
    if images.device == "gpu":
        from fieldloom.pipelines.fn_device import PerPixelOnDevice

        if operation.cuda is None:
            raise ArgumentError.make(
                "fn.per_pixel on a GPU without cuda", why="Numba compiles for the CPU", remedy="Pass cuda=..."
            )
        return _on_device([images], given, taken, lambda t: PerPixelOnDevice(t, operation, layout), [layout])
    own = fn_host.PerPixel(list(nodes), taken, operation, layout, threads)
    return python_function(nodes.values(), own, [layout])


def _on_device(
    inputs: list[DataNode],
    given: dict[str, DataNode],
    keys: KeyInputs,
    make: Callable[[Any], Any],
    layouts: list[str],
) -> Any:
    """The two operators of a GPU graph; `make` gives the second one's function the tickets."""
    from fieldloom.pipelines import fn_device

    fn_device.check_device()
    tickets: Any = fn_device.Counted(keys)
    tokens = []
    if given:
        tickets = fn_device.Tickets(list(given), keys)
        token: Any = _dali.python_function(*given.values(), function=tickets, batch_processing=True)
        tokens.append(token.gpu())
    layouts = layouts + ["HW"] * (len(inputs) - 1)
    return python_function([*inputs, *tokens], make(tickets), layouts, device="gpu")


def python_function(
    nodes: Iterable[DataNode], function: Callable[..., Any], layouts: list[str], device: str = "cpu"
) -> Any:
    """DALI's operator of a function, with as many outputs as layouts."""
    single = len(layouts) == 1
    named: dict[str, Any] = {"output_layouts": layouts[0] if single else layouts} if any(layouts) else {}
    out: Any = _dali.python_function(
        *nodes, function=function, batch_processing=True, device=device, num_outputs=len(layouts), **named
    )
    return out if single else tuple(out)


def _threads(threads: int | None) -> int:
    if threads is None:
        pipe = Pipeline.current()  # None outside a graph, which DALI's operator will say
        return max(pipe.num_threads or 1, 1) if pipe else 1
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ArgumentError.make(f"threads={threads!r}", why="it must be an integer >= 1")
    return threads
