"""Which of a data set's columns is the image, the target, the mask: by customary names."""

from collections.abc import Iterable, Sequence

#: In order of preference; compared without case. The other columns are fields.
IMAGE_NAMES = (
    "image", "img", "pixel_values", "jpg", "jpeg", "png", "webp", "path", "file", "filename", "filepath",
    "file_name", "file_path", "image_path", "img_path",
)  # fmt: skip
TARGET_NAMES = ("label", "target", "class", "category", "y", "cls", "labels", "targets")
MASK_NAMES = ("mask", "segmentation", "seg", "annotation", "segmentation_mask")


def find_column(columns: Iterable[str], customary: Sequence[str]) -> str | None:
    """The column that has the first of these customary names, as it is written; None: no column has one.

    Example:
        >>> find_column(["Label", "path", "Image"], IMAGE_NAMES)
        'Image'
    """
    written = {column.lower(): column for column in reversed(list(columns))}
    return next((written[name] for name in customary if name in written), None)
