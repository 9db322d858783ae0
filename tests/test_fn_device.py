"""Operators on GPU data, without a GPU: CuPy's arrays are pretended, the shim runs the kernels.

DALI's own executors run the two operators of each of ours; only the second one's device is pretended.
"""

import sys
import types as modules
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import has_compiler
from fn_cases import BATCH, EXECUTORS, IDS, RAGGED, SEED, UNIFORM, arrays, check, column, graph
from index_cases import IndexLauncher
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert
from pixel_shim import PixelShim
from test_fn_masks import expected, masks_of
from test_fn_pixels import DIM, OPERATION, dim

import fieldloom as fl
from fieldloom.errors import ArgumentError, DeviceError
from fieldloom.kernels.device import DevicePass
from fieldloom.pipelines import PixelOperation, fn, fn_device, fn_graph
from fieldloom.pipelines.fn_device import AugmentOnDevice, Counted, Handed, Tickets
from fieldloom.pipelines.fn_keys import KeyInputs, KeyOptions
from fieldloom.pipelines.fn_passes import Form, Passes
from fieldloom.pipelines.fn_pixels_device import DevicePixels

needs_compiler = pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")
RECIPE = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate", p=1.0), fl.Normalize()]
STAGED = [fl.HorizontalFlip(), fl.RandAugment()]


class Cupied:
    """What of CuPy's arrays is used."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.dtype, self.ndim, self.shape, self.size = array.dtype, array.ndim, array.shape, array.size
        self.strides, self.itemsize = array.strides, array.itemsize
        self.data = modules.SimpleNamespace(ptr=array.ctypes.data)
        self.device = modules.SimpleNamespace(id=0)


def shim_pass(fused_pass: Any, device: str) -> DevicePass:
    launcher = IndexLauncher(fused_pass)
    made = DevicePass(fused_pass, "cpu", launcher)
    made._map_launcher = launcher
    return made


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """GPU nodes are CPU nodes that say otherwise; what runs on the "GPU" is listed by name."""
    original, ran = dali.python_function, []

    def python_function(*nodes: Any, function: Any, device: str = "cpu", **options: Any) -> Any:
        if device == "cpu":
            return original(*nodes, function=function, **options)
        for node in nodes:
            node.device = "cpu"

        def on_gpu(*batches: Any) -> Any:
            ran.append(type(function).__name__)
            out = function(*([Cupied(array) for array in batch] for batch in batches))
            if isinstance(out, tuple):
                return tuple([np.from_dlpack(one).copy() for one in each] for each in out)
            return [np.from_dlpack(one).copy() for one in out]

        return original(*nodes, function=on_gpu, **options)

    def gpu(node: DataNode) -> DataNode:
        node.device = "gpu"
        return node

    monkeypatch.setattr(fn_graph._dali, "python_function", python_function)
    monkeypatch.setattr(DataNode, "gpu", gpu)
    monkeypatch.setattr(fn_device, "device_of", lambda image: "cpu")
    monkeypatch.setattr(fn_device, "check_device", lambda: None)
    monkeypatch.setattr(AugmentOnDevice.__init__, "__defaults__", (0, 255, shim_pass))
    monkeypatch.setattr(
        PixelOperation,
        "on_device",
        lambda self, *inputs: DevicePixels(self.cuda, "cpu", PixelShim)(*inputs[:4]),
    )
    return ran


@needs_compiler
@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_every_executor_pairs_keys_with_their_images(pretended: list[str], build: dict[str, Any]) -> None:
    lengths = [BATCH, 2, BATCH, BATCH]

    def define(images: Any, ids: Any, epochs: Any) -> Any:
        return fn.fused(images.gpu(), RECIPE, ids=ids, epoch=epochs, seed=SEED, size=24, dtype="float16")

    batches = [(RAGGED[:n], column(IDS[:n] - k), column(np.full(n, k))) for k, n in enumerate(lengths)]
    batches = [(images, ids % 2**32, epochs) for images, ids, epochs in batches]
    pipe = graph(batches, define, build=build)
    for images, ids, epochs in batches:
        (out,) = pipe.run()
        assert out.layout() == "CHW"
        check(arrays(out), RECIPE, images, ids[:, 0], epochs[:, 0], size=24, dtype="float16")
    assert set(pretended) == {"AugmentOnDevice"}


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("images", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
def test_own_sizes_and_stages(pretended: list[str], images: list[np.ndarray]) -> None:
    images = images[:3]

    def define(x: Any) -> Any:
        return fn.fused(x.gpu(), STAGED, seed=SEED, size=None, dtype="uint8", layout="HWC", epoch_size=2)

    (out,) = graph([(images,)], define, batch_size=3).run()
    form = {"dtype": "uint8", "layout": "NHWC"}
    check(arrays(out), STAGED, images, [0, 1, 0], [0, 0, 1], **form)


@needs_compiler
@pytest.mark.slow
def test_masks_and_windows(pretended: list[str]) -> None:
    masks = masks_of(RAGGED)

    def define(images: Any, masks: Any, sizes: Any, ids: Any) -> Any:
        keys = {"ids": ids, "epoch": 2, "seed": SEED, "size": 24}
        start, shape = fn.crop_windows(sizes, RECIPE, **keys)
        crops, maps = (dali.slice(x, start=start, shape=shape, axes=(0, 1)) for x in (images, masks))
        return *fn.fused(crops.gpu(), RECIPE, sizes=sizes, masks=maps.gpu(), **keys), *fn.fused(
            images.gpu(), RECIPE, masks=masks.gpu(), **keys
        )

    sizes = np.array([image.shape[:2] for image in RAGGED])
    out, maps, whole, whole_maps = graph([(RAGGED, masks, sizes, column(IDS))], define).run()
    for images, ids in ((out, maps), (whole, whole_maps)):
        check(arrays(images), RECIPE, RAGGED, IDS, np.full(BATCH, 2), size=24)
        for a, b in zip(arrays(ids), expected(RECIPE, RAGGED, masks, IDS, 2, size=24), strict=True):
            np.testing.assert_array_equal(a, b)


@do_not_convert
def inverted(images: Any, ids: Any) -> Any:
    """As `fn.invert` does it on a GPU; DALI's conditions do not know a node whose device has changed."""
    given, taken = KeyOptions(ids=ids, epoch=0).inputs()
    passes = Passes([fl.Operation("invert")], Form(None, "uint8", "HWC"))
    return fn_graph._on_device([images], given, taken, lambda t: AugmentOnDevice(t, passes), ["HWC"])


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("taken", [0, 2, BATCH])
def test_conditions(pretended: list[str], taken: int) -> None:
    on = [np.bool_(k < taken) for k in range(BATCH)]

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, enable_conditionals=True)
    def conditional() -> Any:
        images, ids, take = dali.external_source(
            source=iter([(UNIFORM, column(IDS), on)] * 2), num_outputs=3, batch=True, layout=["HWC", "", ""]
        )
        if take:
            images = inverted(images, ids)
        return images

    pipe = conditional()
    for _ in range(2):
        for k, image in enumerate(arrays(pipe.run()[0])):
            np.testing.assert_array_equal(image, 255 - UNIFORM[k] if k < taken else UNIFORM[k])


@needs_compiler
@pytest.mark.slow
def test_per_pixel(pretended: list[str]) -> None:
    def define(images: Any, ids: Any) -> Any:
        again = fn.per_pixel(images, OPERATION, ids=ids, epoch=1, seed=SEED)
        return fn.per_pixel(images.gpu(), dim, DIM, ids=ids, epoch=1, seed=SEED), again

    for batch in ([RAGGED], [[image.astype(np.float32) for image in UNIFORM]]):
        out, want = graph([(*batch, column(IDS))], define).run()
        for one, other in zip(arrays(out), arrays(want), strict=True):
            np.testing.assert_array_equal(one, other)
    assert pretended == ["PerPixelOnDevice"] * 2


def test_per_pixel_needs_the_twin(pretended: list[str]) -> None:
    with pytest.raises(ArgumentError, match="on a GPU without cuda"):
        graph([(RAGGED,)], lambda images: fn.per_pixel(images.gpu(), dim))


def test_keys_stay_on_the_cpu(pretended: list[str]) -> None:
    with pytest.raises(ArgumentError, match="ids on the device 'gpu': it is read on the host"):
        graph([(RAGGED, column(IDS))], lambda x, ids: fn.fused(x.gpu(), RECIPE, ids=ids.gpu()))
    with pytest.raises(ArgumentError, match=r"masks\[0\] on the device 'cpu'"):
        graph([(RAGGED, RAGGED)], lambda x, masks: fn.fused(x.gpu(), RECIPE, masks=masks))


# ---------------------------------------------------------------- the parts


def test_tickets_are_taken_in_order_and_empty_batches_leave_none() -> None:
    tickets = Tickets(["ids"], KeyInputs({"seed": 0, "epoch": 1, "strength": None}, None))
    tokens = [tickets(list(column(range(k, k + n)))) for k, n in ((0, 2), (5, 0), (7, 1))]
    assert list(map(len, tokens)) == [2, 0, 1]
    assert tickets.take(2, tokens[0])[0].ids.tolist() == [0, 1]
    with pytest.raises(ArgumentError, match="3 images and 1 ids"):
        tickets.take(3, tokens[2])
    assert not tickets.waiting


def test_a_ticket_that_nobody_took_is_not_the_next_batch_s() -> None:
    tickets = Tickets(["ids"], KeyInputs({"seed": 0, "epoch": 1, "strength": None}, None))
    for k in range(3 * fn_device.NUMBERS):
        lost, tokens = tickets([np.array([k])]), tickets([np.array([k + 1])])
        assert tickets.take(1, tokens)[0].ids.tolist() == [k + 1]
        assert lost[0].shape != tokens[0].shape


class FailsOnce:
    """A decoder, as it were: the second batch cannot be decoded."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Any) -> Any:
        self.calls += 1
        if self.calls == 2:
            raise ValueError("broken body")
        return images


@needs_compiler
@pytest.mark.parametrize("device", ["cpu", "gpu", "direct"])
def test_batches_behind_one_that_failed_keep_their_ids(pretended: list[str], device: str) -> None:
    """DALI's default executor goes on, whatever it says of the pipeline."""
    warp = [fl.RandomField("translate", p=1.0)]

    def define(images: Any, ids: Any) -> Any:
        images = dali.python_function(images, function=FailsOnce(), batch_processing=True)
        images = images.gpu() if device == "gpu" else images
        options = {"ids": ids, "epoch": 0, "seed": SEED, "direct": device == "direct"}
        return fn.fused(images, warp, size=16, **options), ids

    pipe = graph([(UNIFORM, column(IDS // (k + 1))) for k in range(4)], define)
    for k in range(4):
        if k == 1:
            with pytest.raises(RuntimeError, match="broken body"):
                pipe.run()
            continue
        out, ids = pipe.run()
        np.testing.assert_array_equal(np.asarray(ids.as_tensor())[:, 0], IDS // (k + 1))
        check(arrays(out), warp, UNIFORM, IDS // (k + 1), size=16)


def test_images_are_checked_before_a_ticket_is_taken() -> None:
    counted = Counted(KeyInputs({"seed": 0, "epoch": 0, "strength": None}, None))
    function = AugmentOnDevice(counted, Passes(RECIPE, Form(8)))
    with pytest.raises(ArgumentError, match="not uint8 of shape"):
        function([Cupied(np.zeros((4, 4, 1), np.uint8))])
    assert counted.take(1, ())[0].ids.tolist() == [0]
    assert function([]) == []
    assert AugmentOnDevice(counted, Passes(RECIPE, Form(8)), 2)([], [], []) == ([], [], [])


class OnDevice:
    """A tensor of a GPU, as far as handing over looks at it."""

    is_cuda = True

    def __init__(self) -> None:
        self.streams: list[Any] = []

    def __dlpack__(self, stream: Any = None) -> str:
        self.streams.append(stream)
        return "capsule"


def test_handing_over_makes_no_stream_wait() -> None:
    tensor = OnDevice()
    assert Handed(tensor).__dlpack__() == "capsule"  # type: ignore[arg-type]
    assert tensor.streams == [-1]
    array = np.from_dlpack(Handed(torch.arange(3)))
    np.testing.assert_array_equal(array, [0, 1, 2])


def test_dali_s_stream_becomes_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[Any] = []

    class Within:
        def __init__(self, what: Any) -> None:
            self.what = what

        def __enter__(self) -> None:
            log.append(self.what)

        def __exit__(self, *_: Any) -> None:
            log.append("end")

    handle = modules.SimpleNamespace(ptr=1234)
    cupy = modules.SimpleNamespace(cuda=modules.SimpleNamespace(get_current_stream=lambda: handle))
    monkeypatch.setattr(fn_device, "import_cupy", lambda: cupy)
    monkeypatch.setattr(torch.cuda, "device", Within)
    monkeypatch.setattr(torch.cuda, "stream", Within)
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda ptr, device: (ptr, device))
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: ("default", device))
    with fn_device.on_current_stream("cuda:1"):
        log.append("work")
    handle.ptr = 0
    with fn_device.on_current_stream("cuda:0"):
        pass
    one, other = ["cuda:1", (1234, "cuda:1"), "work", "end", "end"], ["cuda:0", ("default", "cuda:0")]
    assert log == [*one, *other, "end", "end"]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="CuPy cannot be imported"):
        graph([(RAGGED,)], lambda images: fn.fused(images.gpu(), RECIPE))
    monkeypatch.setattr(fn_device, "import_cupy", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match="built without CUDA"):
        graph([(RAGGED,)], lambda images: fn.fused(images.gpu(), RECIPE))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("build", [{}, {"exec_dynamic": False}], ids=["default", "not dynamic"])
def test_on_a_gpu(build: dict[str, Any]) -> None:
    """The real thing: equal bits from equal pixels, masks and own kernels included."""
    masks = masks_of(RAGGED)

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=0)
    def real() -> Any:
        images, ids, maps = dali.external_source(
            source=iter([(RAGGED, column(IDS), masks)] * 4), num_outputs=3, batch=True
        )
        keys = {"ids": ids, "epoch": 2, "seed": SEED}
        out, maps = fn.fused(images.gpu(), RECIPE, size=24, masks=maps.gpu(), **keys)
        own = fn.per_pixel(images.gpu(), OPERATION, **keys)
        kept = fn.random_field_warp(images.gpu(), p=1.0, **keys)
        return out, maps, own, fn.per_pixel(images, OPERATION, **keys), kept

    pipe = real(**build)
    for _ in range(4):
        out, maps, own, host, kept = (
            each.as_cpu() if hasattr(each, "as_cpu") else each for each in pipe.run()
        )
        check(arrays(out), RECIPE, RAGGED, IDS, np.full(BATCH, 2), size=24)
        warp = [fl.RandomField("translate", p=1.0)]
        check(arrays(kept), warp, RAGGED, IDS, np.full(BATCH, 2), dtype="uint8", layout="NHWC")
        for a, b in zip(arrays(maps), expected(RECIPE, RAGGED, masks, IDS, 2, size=24), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(arrays(own), arrays(host), strict=True):
            np.testing.assert_array_equal(a, b)
