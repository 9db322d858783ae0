"""What comes out of an operator: size, element type, layout; and the compiled pass for each size met."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.plan import PassPlan
from fieldloom.pipelines.compiling import recipes
from fieldloom.pipelines.stage import compiled

#: Compiled passes kept where every image keeps its own size; one costs some 0.1 to 1 ms to make.
KEPT = 256
#: Size for which a recipe is compiled while the graph is built, to refuse wrong ones early.
_PROBE = (224, 224)
_LAYOUTS = {"CHW": "NCHW", "NCHW": "NCHW", "HWC": "NHWC", "NHWC": "NHWC"}


@dataclass(frozen=True, slots=True)
class Form:
    """An operator's options that say what comes out; see `fieldloom.pipelines.fn`."""

    size: int | tuple[int, int] | None = 224
    dtype: Any = "float32"
    layout: str = "CHW"
    border: str = "reflect"
    fill: float | tuple[float, float, float] = 0.0


class Passes:
    """The pass for images of a size: one for all, or one for each size.

    Args:
        augment: A recipe (a list of augmentations, one, or a preset's name), a PassPlan or a FusedPass.
        form: The output; only the default beside a plan, which has a form of its own.

    Attributes:
        layout: "CHW" or "HWC".
        fixed: Whether all outputs have one size.

    Raises:
        ArgumentError: The recipe or the form is wrong, or cannot be had in a DALI graph.
    """

    def __init__(self, augment: Any, form: Form) -> None:
        self._augment, self._form = augment, form
        self._kept: OrderedDict[tuple[int, int], FusedPass] = OrderedDict()
        self.fixed = form.size is not None
        if isinstance(augment, PassPlan | FusedPass):
            if form != Form():
                raise ArgumentError.make(
                    f"a plan and {_changed(form)}",
                    why="a plan says already what comes out",
                    remedy="Pass the recipe, or compile the plan with these options.",
                )
            self._one = compiled(augment)
        else:
            self._one = self._compile(_PROBE if form.size is None else form.size)
        if self._one.plan.dtype == "bfloat16":
            raise ArgumentError.make(
                "dtype=bfloat16 inside a DALI graph",
                why="DALI has no such type",
                remedy='Take "float16" or "float32", or use FusedStage on the outputs.',
            )
        self.layout = "CHW" if self._one.plan.planar else "HWC"

    @property
    def one(self) -> FusedPass:
        """The pass, where all outputs have one size; else one of its kind."""
        return self._one

    def of(self, height: int, width: int) -> FusedPass:
        """The pass for an image of this size."""
        if self.fixed:
            return self._one
        size = (height, width)
        if size not in self._kept:
            self._kept[size] = self._compile(size)
        self._kept.move_to_end(size)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[size]

    def _compile(self, size: Any) -> FusedPass:
        form = self._form
        if not isinstance(form.layout, str) or form.layout not in _LAYOUTS:
            raise ArgumentError.make(
                f"layout={form.layout!r}", why="not known", remedy='Pass "CHW" or "HWC".'
            )
        plan = recipes().plan(
            self._augment, size=size, dtype=dtype_name(form.dtype), layout=_LAYOUTS[form.layout],
            border=form.border, fill=form.fill,
        )  # fmt: skip
        return compiled(plan)


def dtype_name(dtype: object) -> str:
    """Name of an element type of DALI, NumPy or torch, or the name itself ("float32" for types.FLOAT)."""
    kind = type(dtype).__name__
    if kind == "DALIDataType":
        name = str(dtype).rpartition(".")[2]
        return {"FLOAT": "float32", "FLOAT16": "float16", "UINT8": "uint8"}.get(name, name.lower())
    if isinstance(dtype, type) and dtype.__module__ == "numpy":
        return dtype.__name__
    return str(dtype).removeprefix("torch.")


def _changed(form: Form) -> str:
    default = Form()
    names = [name for name in Form.__slots__ if getattr(form, name) != getattr(default, name)]
    return ", ".join(f"{name}={getattr(form, name)!r}" for name in names)
