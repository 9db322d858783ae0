"""Import torchvision, also beside a torch that has no CUDA.

torchvision 0.28 has no CPU build for torch 2.13. Its compiled operators do not load then, and importing it
fails because two of them have no schema. Transforms of images and tensors need none of them; with the two
schemas declared it imports, and what it computes here is its own Python and torch code, whole.
"""

from typing import Any

_keep: list[Any] = []


def import_torchvision() -> Any:
    """The package.

    Raises:
        ImportError: It is not installed.
    """
    import torch

    if torch.version.cuda is None and not _keep:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _keep.append(library)  # schemas live as long as it
    import torchvision

    return torchvision
