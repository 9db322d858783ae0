"""The evaluation recipe that belongs to a training recipe."""

from .augmentations import CenterCrop, Normalize, RandomCrop, RandomResizedCrop, Resize
from .order import Step
from .recipe import flatten

#: Shorter side of the resized image over the side of its central crop: the customary 256 / 224.
MARGIN = 256 / 224


def evaluation(augment: object, height: int, width: int) -> list[Step]:
    """What looks at whole images in the recipe's own way: central crops for random ones, and its Normalize.

    Args:
        augment: The training recipe.
        height: Output height; `width` its width.
        width: See `height`.
    """
    items, out = flatten(augment), list[Step]()
    for item in items:
        if isinstance(item, RandomResizedCrop):
            out += [Resize(round(min(height, width) * MARGIN)), CenterCrop()]
        elif isinstance(item, (RandomCrop, CenterCrop)):
            out.append(CenterCrop())
        elif isinstance(item, (Resize, Normalize)):
            out.append(item)
    return out
