"""The same augmentation by others, on the same tensors in the same run: elastic warp and color jitter."""

from collections.abc import Callable
from typing import Any

from fieldloom.perf.gpu_timing import device_us
from fieldloom.perf.spread import spread

Work = Callable[[], Any]


def _torchvision(images: Any) -> Work:
    """torchvision v2: ElasticTransform, ColorJitter, to float, normalize (one draw a batch)."""
    import torch
    from torchvision.transforms import v2

    chain = v2.Compose(
        [
            v2.ElasticTransform(alpha=50.0, sigma=5.0),
            v2.ColorJitter(0.2, 0.2, 0.3, 0.05),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    planar = images.permute(0, 3, 1, 2).contiguous()
    return lambda: chain(planar)


def _kornia(images: Any, *, compiled: bool = False) -> Work:
    """Kornia: RandomElasticTransform, ColorJitter, Normalize (a draw an image)."""
    import kornia.augmentation as kornia
    import torch

    chain = kornia.AugmentationSequential(
        kornia.RandomElasticTransform(p=1.0),
        kornia.ColorJitter(0.2, 0.2, 0.3, 0.05, p=1.0),
        kornia.Normalize(torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])),
        data_keys=["input"],
    ).to(images.device)
    planar = images.permute(0, 3, 1, 2).float() / 255
    work = torch.compile(chain) if compiled else chain
    return lambda: work(planar)


def _kornia_compiled(images: Any) -> Work:
    """The same under torch.compile."""
    return _kornia(images, compiled=True)


def _cvcuda(images: Any) -> Work:
    """CV-CUDA: remap by a given dense map, color twist; the map's making is not counted."""
    import cvcuda
    import torch

    n, height, width, _ = images.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    points = torch.stack([x, y], -1).float().to(images.device).expand(n, -1, -1, -1).contiguous()
    source, where = cvcuda.as_tensor(images, "NHWC"), cvcuda.as_tensor(points, "NHWC")
    twist = torch.eye(3, 4, device=images.device).contiguous()
    matrix = cvcuda.as_tensor(twist, "HW")
    stream = cvcuda.cuda.as_stream(torch.cuda.current_stream(images.device))

    def work() -> Any:
        with stream:
            warped = cvcuda.remap(
                source, where, src_interp=cvcuda.Interp.LINEAR, map_type=cvcuda.Remap.ABSOLUTE
            )
            return cvcuda.color_twist(warped, matrix)

    return work


def _grid_sample(images: Any) -> Work:
    """torch: grid_sample alone, float32, the grid given; a floor for everything built on it."""
    import torch

    planar = images.permute(0, 3, 1, 2).float().contiguous()
    size = list(planar.shape)
    identity = torch.eye(2, 3, device=images.device).expand(len(images), -1, -1)
    grid = torch.nn.functional.affine_grid(identity, size, align_corners=False).contiguous()
    return lambda: torch.nn.functional.grid_sample(
        planar, grid, padding_mode="reflection", align_corners=False
    )


def _dali_remap(images: Any) -> Work:
    """DALI: experimental.remap by given maps, in a pipeline of its own; counts its scheduling."""
    import torch
    from nvidia.dali import fn
    from nvidia.dali.pipeline import Pipeline

    n, height, width, _ = images.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    maps = [m.float().to(images.device).expand(n, -1, -1).contiguous() for m in (x, y)]
    pipe = Pipeline(n, 2, images.device.index, prefetch_queue_depth=2)
    with pipe:
        pixels, map_x, map_y = (
            fn.external_source(source=lambda k=k: [images, *maps][k], device="gpu", batch=True)
            for k in range(3)
        )
        pipe.set_outputs(fn.experimental.remap(pixels, map_x, map_y))
    pipe.build()
    return lambda: pipe.run(torch.cuda.current_stream(images.device))


PEERS: dict[str, Callable[[Any], Work]] = {
    "torchvision v2 elastic + jitter": _torchvision,
    "Kornia elastic + jitter": _kornia,
    "Kornia elastic + jitter, compiled": _kornia_compiled,
    "CV-CUDA remap + color twist": _cvcuda,
    "DALI remap": _dali_remap,
    "torch grid_sample alone": _grid_sample,
}


def measure(device: Any, n: int = 256, size: int = 224) -> list[dict[str, Any]]:
    """Microseconds a batch of each peer that runs here; the reason of each that does not."""
    import torch

    images = torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8, device=device)
    rows: list[dict[str, Any]] = []
    for name, make in PEERS.items():
        what = (make.__doc__ or "").strip()
        try:
            work = make(images)
            rows.append({"peer": name, "what": what, "us_batch": spread(device_us([work], target_ms=200), 2)})
        except Exception as error:  # whatever a peer's version raises: the table says so
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            rows.append({"peer": name, "what": what, "left_out": reason})
    return rows
