"""From the members of a shard to samples: the WebDataset convention, and what of a sample is what."""

import json
import zlib
from dataclasses import dataclass, field

from fieldloom.errors import ArgumentError, LabelError, ShardError
from fieldloom.sources.shards.tarheader import printable
from fieldloom.sources.shards.tarmembers import Member

#: Fields that are the image, if none is named; in this order where a sample has several.
IMAGE_FIELDS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "gif")
#: Fields that are the mask, if none is named.
MASK_FIELDS = ("seg.png", "mask.png")
#: A label is a small file.
MAX_LABEL_BYTES = 1 << 20
#: A number of more digits is no class.
_MOST_DIGITS = 18

Label = int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Spec:
    """What a user wants of the samples of a shard. Decides the index, so it is a part of the index's name.

    Attributes:
        target: "cls" (a member of digits), "json:<key>" (a whole number, or a list of them), or None.
        image: Field of the image; None: the only one of IMAGE_FIELDS.
        mask: Field of the mask; None: one of MASK_FIELDS, if there is one.
        on_missing: "raise" or "skip" samples that lack something.
    """

    target: str | None = "cls"
    image: str | None = None
    mask: str | None = None
    on_missing: str = "raise"

    def __post_init__(self) -> None:
        """Check the options."""
        target = self.target
        of_json = isinstance(target, str) and target.startswith("json:") and target != "json:"
        if target is not None and target != "cls" and not of_json:
            raise ArgumentError.make(
                f"target={target!r}",
                why="labels are in .cls members or under a key of .json members",
                remedy='Pass target="cls", target="json:label" or target=None.',
            )
        if self.on_missing not in ("raise", "skip"):
            raise ArgumentError.make(
                f"on_missing={self.on_missing!r}", why="not known", remedy='Pass "raise" or "skip".'
            )
        for option in ("image", "mask"):
            value = getattr(self, option)
            if value is not None and (not isinstance(value, str) or not value or value != value.lower()):
                raise ArgumentError.make(
                    f"{option}={value!r}",
                    why="a field is what follows the first dot of a member's name, in lower case",
                    remedy=f'Pass {option}="png" for members such as 000.png.',
                )

    @property
    def label_field(self) -> str | None:
        """Field that holds the label."""
        return None if self.target is None else self.target.partition(":")[0]

    @property
    def tag(self) -> str:
        """Short name of this choice: each has an index of its own."""
        plain = json.dumps([self.target, self.image, self.mask, self.on_missing])
        return f"{zlib.crc32(plain.encode()):08x}"


def split_name(name: bytes) -> tuple[bytes, str] | None:
    """Key of the sample and field of a member; None for what belongs to no sample.

    The key is the name up to the first dot of its last part. Hidden files, names without a dot and the
    "__meta__" members of some writers belong to none, as in WebDataset itself.

    Example:
        >>> split_name(b"train/n01/000017.seg.png")
        (b'train/n01/000017', 'seg.png')
    """
    name = name.removeprefix(b"./")
    folder, slash, last = name.rpartition(b"/")
    base, _, field_name = last.partition(b".")
    top = name.partition(b"/")[0]
    if not base or not field_name or (top.startswith(b"__") and top.endswith(b"__")):
        return None
    return folder + slash + base, field_name.decode("utf-8", "surrogateescape").lower()


@dataclass(slots=True)
class Group:
    """The members of one sample.

    Attributes:
        key: Its name.
        fields: Its members by field.
        label: What the label's member says, if it has one.
        crc: CRC-32 of all headers.
    """

    key: bytes
    fields: dict[str, Member] = field(default_factory=dict)
    label: Label = None
    crc: int = 0

    @property
    def shown(self) -> str:
        """Its name, as errors show it."""
        return printable(self.key.decode("utf-8", "surrogateescape"))

    def add(self, name: str, member: Member) -> None:
        """Take in a member.

        Raises:
            ShardError: There is one of this field.
        """
        if name in self.fields:
            raise ShardError.make(
                f"sample {self.shown} has the field {name} twice in",
                why="a member's name stands for one file",
                remedy="Make the shard anew.",
            )
        self.fields[name] = member
        self.crc = zlib.crc32(member.headers, self.crc)

    @property
    def start(self) -> int:
        """Byte at which its first member's headers begin."""
        return next(iter(self.fields.values())).start

    @property
    def end(self) -> int:
        """Byte behind its last member."""
        return next(reversed(self.fields.values())).end


def image_field(group: Group, spec: Spec) -> str | None:
    """The field that is the image; None if there is none.

    Raises:
        ShardError: Several could be.
    """
    if spec.image is not None:
        return spec.image if spec.image in group.fields else None
    mask = mask_field(group, spec)
    found = [name for name in group.fields if name in IMAGE_FIELDS and name != mask]
    if not found:  # such as "rgb.jpg"
        found = [name for name in group.fields if name.rpartition(".")[2] in IMAGE_FIELDS and name != mask]
    if len(found) > 1:
        raise ShardError.make(
            f"sample {group.shown} has the images {' and '.join(found)} in",
            why="one of them is the image",
            remedy=f'Pass image="{found[0]}"; and mask="{found[1]}" if that is the mask.',
        )
    return found[0] if found else None


def mask_field(group: Group, spec: Spec) -> str | None:
    """The field that is the mask; None if there is none."""
    if spec.mask is not None:
        return spec.mask if spec.mask in group.fields else None
    return next((name for name in MASK_FIELDS if name in group.fields and name != spec.image), None)


def parse_label(data: bytes, target: str, shown: str) -> Label:
    """The label that a member holds; None if its JSON lacks the key.

    Args:
        data: The member's contents.
        target: "cls" or "json:<key>".
        shown: The sample, for errors.

    Raises:
        LabelError: It is no class index, and no list of them.
    """
    if target == "cls":
        text = data.strip()
        if not text.isdigit() or len(text) > _MOST_DIGITS:
            raise _no_class(text[:40].decode("ascii", "backslashreplace"), shown)
        return int(text)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LabelError.make(
            f"cannot read the label of {shown} in", why=f"its JSON is damaged: {error}", remedy="Repair it."
        ) from None
    key = target.partition(":")[2]
    if not isinstance(found, dict) or key not in found:
        return None
    value = found[key]
    values = value if isinstance(value, list) else [value]
    if not all(type(one) is int and 0 <= one < 10**_MOST_DIGITS for one in values):
        raise _no_class(repr(value)[:40], shown)
    return tuple(sorted(set(values))) if isinstance(value, list) else value


def _no_class(value: str, shown: str) -> LabelError:
    return LabelError.make(
        f"label {value!r} of {shown} is not usable in",
        why="a label is a whole number from 0 on",
        remedy="Correct it, or leave the sample out.",
    )
