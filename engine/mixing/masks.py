"""Mixing by masks that a network makes: inside the training step, with gradients."""

from typing import TYPE_CHECKING

from fieldloom.errors import ArgumentError

if TYPE_CHECKING:
    import torch


def mix_batch(
    images: "torch.Tensor", weights: "torch.Tensor", partners: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Mix each image of a batch with others, by a weight for each way and pixel.

    out_i = w_i0 x_i + sum over j of w_ij x_(partners of i)_j, pixel by pixel. Gradients flow into `weights`,
    and into `images`. For fixed masks see `fieldloom.MaskMix`, which mixes in the loader.

    Args:
        images: Float (n, channels, height, width).
        weights: Float (n, ways, h, w), the image's own first; at least 0 and 1 in sum over the ways (such as
            a softmax; not checked, as that would wait for the device). Other sizes are resized bilinearly.
        partners: Integers (n, ways - 1): places in the batch.

    Returns:
        Mixed images, as `images`; and label weights (n, ways), the means of the resized weights over the
        pixels, for `mixed_cross_entropy` with classes[i] = (own, partners').

    Raises:
        ArgumentError: Shapes that do not fit.

    Source: N-way mixing of AdAutoMix, arXiv 2312.11954.
    Exactness: torch's arithmetic in the type of its arguments.

    Example:
        >>> import torch
        >>> from fieldloom.mixing import mix_batch
        >>> images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
        >>> weights = torch.tensor([0.75, 0.25]).reshape(1, 2, 1, 1).expand(2, 2, 1, 1)
        >>> mixed, labels = mix_batch(images, weights, torch.tensor([[1], [0]]))
        >>> mixed[:, 0, 0, 0].tolist(), labels[0].tolist()
        ([0.25, 0.75], [0.75, 0.25])
    """
    import torch
    from torch.nn import functional

    n = images.shape[0] if images.ndim == 4 else -1
    if n < 0 or weights.ndim != 4 or weights.shape[0] != n or weights.shape[1] < 2:
        raise ArgumentError.make(
            f"mix_batch images {tuple(images.shape)}, weights {tuple(weights.shape)}",
            why="not (n, channels, height, width) and (n, ways, h, w) with two ways or more",
            remedy="Pass one weight for each image, way and pixel.",
        )
    ways = weights.shape[1]
    if tuple(partners.shape) != (n, ways - 1) or partners.is_floating_point() or partners.dtype == torch.bool:
        raise ArgumentError.make(
            f"mix_batch partners {tuple(partners.shape)} of {partners.dtype}",
            why=f"not integers ({n}, {ways - 1})",
            remedy="Pass the place in the batch of each way's partner.",
        )
    if weights.shape[2:] != images.shape[2:]:
        weights = functional.interpolate(weights, images.shape[2:], mode="bilinear", align_corners=False)
    mixed = weights[:, :1] * images
    for way in range(1, ways):
        mixed = mixed + weights[:, way : way + 1] * images[partners[:, way - 1].long()]
    return mixed, weights.mean((2, 3))
