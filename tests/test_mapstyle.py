"""Map-style data sets: what they may return, what is known of them beforehand, what is refused."""

import errno
import io
import pickle
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import MapSource, open_source
from helpers import check_ledger, encode, make_folder, pixels, text_file

N = 7


class Returning(Dataset):
    """Returns what a function makes of the index; counts what is asked for."""

    def __init__(self, make: Any, n: int = N) -> None:
        self.make, self.n, self.asked = make, n, []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return self.make(i)


class Labelled(Returning):
    """Lists its targets as torchvision's data sets do."""

    def __init__(self, make: Any, targets: Any, n: int = N) -> None:
        super().__init__(make, n)
        self.targets = targets


def png(i: int) -> bytes:
    return encode(i, "PNG")


IMAGES = {
    "bytes": png,
    "bytearray": lambda i: bytearray(png(i)),
    "encoded array": lambda i: np.frombuffer(png(i), np.uint8),
    "encoded tensor": lambda i: torch.frombuffer(bytearray(png(i)), dtype=torch.uint8),
    "PIL": lambda i: Image.fromarray(pixels(seed=i)),
    "PIL unloaded": lambda i: Image.open(io.BytesIO(png(i))),
    "array": lambda i: pixels(seed=i),
    "tensor": lambda i: torch.from_numpy(pixels(seed=i).copy()),
}
WHOLE = {
    "pair": lambda image, i: (image, i % 3),
    "list": lambda image, i: [image, torch.tensor(i % 3)],
    "dict": lambda image, i: {"img": image, "cls": np.int64(i % 3), "name": f"n{i}"},
    "pair with dict": lambda image, i: (image, {"label": i % 3, "name": f"n{i}"}),
    "named": lambda image, i: namedtuple("S", "image target name")(image, i % 3, f"n{i}"),
}


def rgb(source: MapSource, i: int) -> np.ndarray:
    data = source.sample(i).image
    return data if source.stored == "pixels" else np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("whole", WHOLE)
def test_what_a_sample_may_be(image: str, whole: str) -> None:
    data = Returning(lambda i: WHOLE[whole](IMAGES[image](i), i))
    source = open_source(data)
    assert isinstance(source, MapSource)
    assert data.asked == [0], "the first sample is looked at once, and no other"
    assert source.stored == ("encoded" if image.startswith(("bytes", "bytea", "encoded")) else "pixels")
    assert source.targets is None
    for i in range(N):
        np.testing.assert_array_equal(rgb(source, i), pixels(seed=i))
        sample = source.sample(i)
        assert int(sample.target) == i % 3
        assert sample.fields == ({"name": f"n{i}"} if whole not in ("pair", "list") else {})


@pytest.mark.parametrize("image", IMAGES)
def test_images_alone(image: str) -> None:
    with fl.DataLoader(
        Returning(IMAGES[image]), batch_size=4, size=(24, 32), dtype="uint8", threads=2
    ) as loader:
        batches = check_ledger(loader)
    made = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(made, np.stack([pixels(seed=i) for i in range(N)]))
    assert batches[0].targets.tolist() == [-1] * 4


def test_paths(tmp_path: Path) -> None:
    files = make_folder(tmp_path, N)
    for make in (str, Path):
        source = open_source(Returning(lambda i, make=make: (make(files[i]), i)))
        assert source.stored == "encoded"
        assert source.read(3).tobytes() == files[3].read_bytes()


def test_names_of_a_dict() -> None:
    data = Returning(
        lambda i: {"pixel_values": pixels(seed=i), "labels": i, "box": np.arange(4) + i, "t": "x"}
    )
    with fl.DataLoader(data, batch_size=3, size=8, threads=1) as loader:
        batch = next(iter(loader))
    assert batch.keys() == ["pixel_values", "labels", "box", "t"]
    assert batch["pixel_values"] is batch.images
    assert batch["labels"].tolist() == [0, 1, 2]
    assert batch["box"].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert batch["t"] == ["x"] * 3


def test_pil_images_are_shown_upright_and_without_alpha() -> None:
    turned = Image.open(io.BytesIO(encode(1, "PNG", turned=6)))
    assert rgb(MapSource(Returning(lambda i: turned, 1)), 0).shape == (32, 24, 3)
    for mode in ("L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "F"):
        image = Image.fromarray(pixels()).convert("L" if mode in ("I;16", "F") else mode)
        if mode in ("I;16", "F"):
            array = np.asarray(image)
            image = Image.fromarray(
                array.astype(np.uint16) * 257 if mode == "I;16" else array / np.float32(255)
            )
        found = rgb(MapSource(Returning(lambda i, image=image: image, 1)), 0)
        assert (found.shape, found.dtype) == ((24, 32, 3), np.uint8)
        if mode in ("I;16", "F", "L"):
            np.testing.assert_array_equal(found[..., 0], np.asarray(Image.fromarray(pixels()).convert("L")))


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (torch.zeros(3, 8, 8), r"float32.*Drop the data set's transform \(ToTensor"),
        (np.zeros((8, 8, 3)), r"float64.*Drop the data set's transform"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"permute\(1, 2, 0\)"),
        (np.zeros((8, 8, 4), np.uint8), "RGBA"),
        (np.zeros((8, 0, 3), np.uint8), "channels last"),
        (np.zeros((8, 8, 3), np.int64), "uint8 RGB"),
        (3, "an image that is a int"),
        ((), "length 0"),
        ((pixels(), 1, 2), r"length 3.*Return \(image, target\)"),
        ({"x": 1}, r"a dict without an image .*its keys are 'x'"),
    ],
    ids=str,
)
def test_what_no_sample_may_be(image: Any, match: str) -> None:
    with pytest.raises(errors.ArgumentError, match=match) as caught:
        open_source(Returning(lambda i: image))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "later",
    [pixels(), Image.fromarray(pixels()), torch.zeros(3, 8, 8), {"x": 1}, 3, (pixels(), 1, 2)],
    ids=type,
)
def test_later_samples_of_another_kind(later: Any) -> None:
    data = Returning(lambda i: later if i == 4 else png(i))
    with pytest.raises(errors.TransformError, match="sample 4"):
        open_source(data).sample(4)
    with fl.DataLoader(data, batch_size=3, size=8, on_bad_sample="skip", threads=1) as loader:
        check_ledger(loader)
        assert [bad.sample for bad in loader.ledger.bad] == [4]


# ---------------------------------------------------------------- targets known beforehand


@pytest.mark.parametrize("as_column", [list, tuple, np.array, torch.tensor])
@pytest.mark.parametrize("name", ["targets", "labels"])
def test_listed_targets(as_column: Any, name: str) -> None:
    data = Returning(lambda i: (png(i), i % 3))
    setattr(data, name, as_column([i % 3 for i in range(N)]))
    source = MapSource(data)
    assert source.targets.tolist() == [i % 3 for i in range(N)]
    assert not source.more
    with pytest.raises(errors.LabelError, match="label 2 "):
        MapSource(data, num_classes=2)


def test_listed_targets_through_subsets() -> None:
    first = Labelled(lambda i: (png(i), i % 3), [i % 3 for i in range(N)])
    second = Labelled(lambda i: (png(i), i % 2), torch.arange(N) % 2)
    part = Subset(first, [6, 0, 1])
    assert MapSource(part).targets.tolist() == [0, 0, 1]
    assert MapSource(Subset(part, [2, 2])).targets.tolist() == [1, 1]
    both = ConcatDataset([part, second])
    assert MapSource(both).targets.tolist() == [0, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert MapSource(both).sample(4).image.tobytes() == png(1)
    assert MapSource(ConcatDataset([part, Returning(png)])).targets is None


def test_selectors_need_listed_targets() -> None:
    listed = Labelled(lambda i: (png(i), i % 3), [i % 3 for i in range(N)])
    for data in (listed, MapSource(listed, listed=False)):
        by_class = fl.selectors.RS2(0.5, class_balanced=True)
        with fl.DataLoader(data, batch_size=3, size=8, threads=1, selection=by_class) as loader:
            if data is listed:
                assert len(list(loader)) == len(loader) == 2
            else:
                with pytest.raises(errors.ArgumentError, match="come with the samples"):
                    iter(loader)


@pytest.mark.parametrize("targets", [[9] * N, [0] * (N - 1), ["a"] * N, [-1] * N, 3, [[1], [1, 2]]], ids=str)
def test_lists_that_are_not_its_targets(targets: Any) -> None:
    source = MapSource(Labelled(lambda i: (png(i), i % 3), targets))
    assert source.targets is None
    assert source.sample(1).target == 1


def test_a_list_that_contradicts_a_sample() -> None:
    data = Labelled(lambda i: (png(i), i % 3), [0] * N)
    with pytest.raises(errors.ArgumentError, match=r"target 1 sample 1 .*lists 0.*listed=False"):
        MapSource(data).sample(1)
    assert MapSource(data, listed=False).sample(1).target == 1


def test_targets_that_come_with_samples() -> None:
    data = Returning(lambda i: (png(i), float("nan") if i == 2 else "x" if i == 3 else i))
    with fl.DataLoader(data, batch_size=N, size=8, on_bad_sample="skip", threads=1, num_classes=6) as loader:
        (batch,) = check_ledger(loader)
    assert batch.targets.tolist() == [0, 1, 4, 5]
    assert [(bad.sample, bad.error) for bad in loader.ledger.bad] == [(i, "LabelError") for i in (2, 3, 6)]


def test_rows_that_come_with_samples() -> None:
    data = Returning(lambda i: (png(i), torch.tensor([i, 0.5])))
    with fl.DataLoader(data, batch_size=N, size=8, threads=1) as loader:
        assert next(iter(loader)).targets.tolist() == [[i, 0.5] for i in range(N)]
    data = Returning(lambda i: (png(i), [0] * (1 + i)))
    with (
        fl.DataLoader(data, batch_size=N, size=8, threads=1) as loader,
        pytest.raises(errors.LabelError, match=r"shape \(2,\).*sample 0 has shape \(1,\)"),
    ):
        next(iter(loader))


# ---------------------------------------------------------------- folders of torchvision's kind


class ImageFolder(Dataset):
    """As torchvision's: `.samples`, `.classes`, `.targets`, a loader, transforms."""

    def __init__(self, files: list[Path], transform: Any = None, crop: int | None = None) -> None:
        self.samples = [(str(file), i % 2) for i, file in enumerate(files)]
        self.targets = [label for _, label in self.samples]
        self.classes, self.transform, self.target_transform = ["cat", "dog"], transform, None
        self.crop, self.opened = crop, 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Any:
        self.opened += 1
        path, label = self.samples[i]
        with Image.open(path) as file:
            image = file.convert("RGB")
        image = image if self.crop is None else image.crop((0, 0, self.crop, self.crop))
        return (image if self.transform is None else self.transform(image)), label


def test_folders_are_read_file_by_file(tmp_path: Path) -> None:
    files = make_folder(tmp_path, N)
    data = ImageFolder(files)
    source = open_source(data)
    assert (source.stored, source.classes, source.more) == ("encoded", ["cat", "dog"], False)
    assert [source.read(i).tobytes() for i in range(N)] == [file.read_bytes() for file in files]
    assert source.name(2) == str(files[2])
    assert data.opened == 1
    part = open_source(Subset(data, [5, 2]))
    assert part.read(0).tobytes() == files[5].read_bytes()
    assert part.targets.tolist() == [1, 0]
    assert part.classes == ["cat", "dog"]
    assert pickle.loads(pickle.dumps(source)).read(1).tobytes() == files[1].read_bytes()


@pytest.mark.parametrize("options", [{"transform": lambda image: image}, {"crop": 10}])
def test_folders_that_do_something_to_images(tmp_path: Path, options: Any) -> None:
    data = ImageFolder(make_folder(tmp_path, N), **options)
    source = open_source(data)
    assert source.stored == "pixels"
    np.testing.assert_array_equal(source.pixels(3), np.asarray(data[3][0]))
    assert source.targets.tolist() == data.targets


# ---------------------------------------------------------------- errors of the data set


def test_a_bug_is_never_skipped() -> None:
    def make(i: int) -> Any:
        if i == 4:
            raise KeyError("a bug")
        return png(i)

    with fl.DataLoader(Returning(make), batch_size=3, size=8, on_bad_sample="skip", threads=1) as loader:
        iterator = iter(loader)
        assert next(iterator).ids.tolist() == [0, 1, 2]
        with pytest.raises(KeyError, match="a bug"):
            next(iterator)
        assert next(iterator).ids.tolist() == [6]


@pytest.mark.parametrize("bad", [0, 4])
@pytest.mark.parametrize("form", ["PIL", "bytes"])
def test_files_that_cannot_be_read_are_bad_samples(bad: int, form: str) -> None:
    def make(i: int) -> Any:
        if form == "bytes":
            if i == bad:
                raise FileNotFoundError(errno.ENOENT, "gone", "x.jpg")
            return png(i)
        data = text_file() if i == bad else png(i)[: 200 if i == 5 else None]
        return Image.open(io.BytesIO(data))

    with fl.DataLoader(Returning(make), batch_size=3, size=8, on_bad_sample="skip", threads=1) as loader:
        check_ledger(loader)
        expected = [bad] if form == "bytes" else sorted({bad, 5})
        assert [record.sample for record in loader.ledger.bad] == expected


def test_data_sets_that_cannot_be_read_at_all() -> None:
    def fail(i: int) -> Any:
        raise OSError("no disk")

    data = Returning(fail, 1000)
    with pytest.raises(errors.SourceError, match=r"Returning .*first 10 samples.*dataset\[0\]"):
        open_source(data)
    assert len(data.asked) == 10

    def out(i: int) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(errors.SourceError, match="ulimit -n"):
        open_source(Returning(out))


def test_empty() -> None:
    source = open_source(Returning(png, 0))
    assert len(source) == 0
    assert source.targets.tolist() == []


def test_one_sample_at_a_time_unless_parallel() -> None:
    import threading

    for parallel, most in ((False, 1), (True, 4)):
        inside, seen, meeting = 0, [], threading.Barrier(4)

        def make(i: int, parallel: bool = parallel, seen: list[int] = seen, meeting: Any = meeting) -> Any:
            nonlocal inside
            inside += 1
            seen.append(inside)
            if parallel and i:
                meeting.wait(20)
            inside -= 1
            return png(i)

        source = MapSource(Returning(make, 5), parallel=parallel)
        threads = [threading.Thread(target=source.sample, args=(i,)) for i in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(seen) <= most
        assert parallel == meeting.broken or not meeting.broken


# ---------------------------------------------------------------- lists of dicts


def test_lists_of_dicts(tmp_path: Path) -> None:
    files = make_folder(tmp_path, N)
    rows = [{"image": str(f), "label": i % 3, "weight": i / 2} for i, f in enumerate(files)]
    source = open_source(rows)
    assert source.targets.tolist() == [i % 3 for i in range(N)]
    assert source.name(4) == str(files[4])
    assert source.sample(3).fields == {"weight": 1.5}
    many = open_source([{"image": png(i), "labels": [i, 0, 1]} for i in range(3)])
    assert many.targets.tolist() == [[0, 0, 1], [1, 0, 1], [2, 0, 1]]
    assert open_source([{"image": pixels()}]).stored == "pixels"
    with pytest.raises(errors.ArgumentError, match="entry 1 of the list has no 'label'"):
        open_source([rows[0], {"image": "x.jpg"}])
    with pytest.raises(errors.ArgumentError, match="entry 1 of the list is a str"):
        open_source([{"image": str(files[0])}, "y.jpg"])
    with pytest.raises(errors.ArgumentError, match="entry 1 of the list is a tuple"):
        open_source([rows[0], ("x.jpg", 1)])
    with pytest.raises(errors.LabelError, match=r"label 'cat' .*sample 1 \(.*0001\.jpg"):
        open_source([rows[0], {**rows[1], "label": "cat"}])


@pytest.mark.parametrize("value", ["text", {}, {"a.jpg": 0}, {0: pixels()}])
def test_what_has_items_but_is_no_data_set(value: Any) -> None:
    with pytest.raises(errors.FieldloomError):
        open_source(value)


def test_a_target_that_is_missing_later_is_a_bad_sample() -> None:
    rows = Returning(lambda i: {"image": pixels(seed=i), **({"label": i} if i != 4 else {})})
    source = MapSource(rows)
    with pytest.raises(errors.LabelError, match=r"no target sample 4 .*the first sample.* had one"):
        source.sample(4)
    with fl.DataLoader(source, batch_size=N, size=8, device="cpu", on_bad_sample="skip") as loader:
        assert next(iter(loader)).targets.tolist() == [0, 1, 2, 3, 5, 6]
    late = MapSource(Returning(lambda i: (pixels(seed=i), None if i < 3 else i)))
    with pytest.raises(errors.TransformError, match="target is a int"):
        late.sample(4)


def test_targets_keep_the_first_ones_type() -> None:
    def types(values: list[Any], **options: Any) -> list[Any]:
        rows = Returning(lambda i: (pixels(seed=i), values[i]), len(values))
        with fl.DataLoader(rows, batch_size=2, size=8, device="cpu", **options) as loader:
            return [(batch.targets.dtype, batch.targets.tolist()) for batch in loader]

    assert types([0.5, 1, 2, torch.tensor(3)]) == [(torch.float32, [0.5, 1]), (torch.float32, [2, 3])]
    assert types([1, np.uint8(2), torch.tensor(3), True]) == [(torch.int64, [1, 2]), (torch.int64, [3, 1])]
    for odd in (0.5, np.float32(2), torch.tensor(1.0)):
        with pytest.raises(errors.LabelError, match=r"sample 2 .*the first sample.*whole"):
            types([1, 2, odd, 3])


def test_num_classes_of_rows_that_come_with_samples() -> None:
    rows = Returning(lambda i: (pixels(seed=i), [1, 0, 1] if i < 2 else torch.ones(4)))
    source = MapSource(rows, num_classes=3)
    assert source.sample(1).target == [1, 0, 1]
    with pytest.raises(errors.LabelError, match=r"4 numbers .*sample 2 .*num_classes=3"):
        source.sample(2)
