"""`ShardSource`: masks and other fields; samples that lack something; shards that cannot be used."""

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_files import contents, image, mask, sample, write_tar

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources.shards.membervalues import member_value
from fieldloom.sources.shards.source import ShardSource


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


# ---------------------------------------------------------------- masks and fields


def test_masks_and_fields_come_along(tmp_path: Path) -> None:
    def fields(i: int) -> dict[str, Any]:
        return {
            "seg.png": mask(i), "txt": f"größe {i}", "json": {"i": i}, "v.npy": npy(np.arange(i + 1)),
            "bin": b"\0\1", "thumb.jpg": image(9),
        }  # fmt: skip

    source = ShardSource(write_tar(tmp_path / "a.tar", [m for i in range(5) for m in sample(i, fields(i))]))
    assert source.has_masks
    assert source.more
    assert source.names == {"image": "jpg", "target": "cls", "mask": "seg.png"}
    found = source.sample(3)
    assert found.image.tobytes() == source.read(3).tobytes() == image(3)
    assert found.mask.tobytes() == mask(3)
    assert found.fields.pop("v.npy").tolist() == [0, 1, 2, 3]
    assert found.fields == {"txt": "größe 3", "json": {"i": 3}, "bin": b"\0\1", "thumb.jpg": image(9)}
    with fl.DataLoader(source, batch_size=2, size=8, device="cpu") as loader:
        batch = next(iter(loader))
        assert batch["cls"].tolist() == [0, 1]
        assert batch["txt"] == ["größe 0", "größe 1"]
        assert batch["seg.png"] is batch.masks
        assert set(batch.masks[1].unique().tolist()) <= set(range(1, 8))
    bare = ShardSource(tmp_path / "a.tar", fields=False)
    assert bare.sample(3).fields == {}
    assert bare.sample(3).mask.tobytes() == mask(3)


def test_samples_without_labels(tmp_path: Path) -> None:
    members = [m for i in range(5) for m in sample(i, {"cls": None, "mask.png": mask(i)})]
    source = ShardSource(write_tar(tmp_path / "a.tar", members), target=None)
    assert source.targets is None
    assert len(source) == 5
    assert source.more
    assert source.sample(2).mask.tobytes() == mask(2)
    with fl.DataLoader(source, batch_size=5, size=8, device="cpu") as loader:
        assert next(iter(loader)).masks.shape == (5, 8, 8)


def test_fields_can_be_named(tmp_path: Path) -> None:
    members = [m for i in range(3) for m in sample(i, {"png": mask(i)})]
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(errors.ShardError, match=r'images jpg and png.*image="jpg".*mask="png"'):
        ShardSource(path)
    source = ShardSource(path, mask="png")
    assert source.sample(1).image.tobytes() == image(1)
    assert source.sample(1).mask.tobytes() == mask(1)
    other = ShardSource(path, image="png")
    assert other.read(1).tobytes() == mask(1)
    assert other.sample(1).fields["jpg"] == image(1)
    with pytest.raises(errors.ShardError, match="no sample has the field nothing"):
        ShardSource(path, image="jpg", mask="nothing")
    with pytest.raises(errors.ShardError, match="lacks an image"):
        ShardSource(path, image="webp")


def test_an_image_of_two_parts_of_a_name(tmp_path: Path) -> None:
    members = sample(0, {"jpg": None, "rgb.png": mask(0)})
    assert contents(ShardSource(write_tar(tmp_path / "a.tar", members))) == [mask(0)]


@pytest.mark.parametrize(
    ("field", "data", "message"),
    [
        ("txt", b"\xff", "utf-8"),
        ("json", b"{", "JSON|Expecting"),
        ("json", b"[" * 100000, "recursion"),
        ("npy", b"", "magic|EOF|header"),
        ("npy", npy(np.array([{}, 1], object), allow_pickle=True), "object"),
        ("npy", npy(np.zeros(3))[:-1], "takes 24 bytes, and 23 follow"),
        ("npy", npy(np.zeros(3)) + b"x", "takes 24 bytes, and 25 follow"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(9999999999999,)"), "takes|header"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(-3,)"), "plain numbers"),
        ("npy", npy(np.zeros(3)).replace(b"'<f8'", b"'|V0'"), "plain numbers"),
    ],
)
def test_damaged_fields(field: str, data: bytes, message: str, tmp_path: Path) -> None:
    source = ShardSource(write_tar(tmp_path / "a.tar", sample(0, {field: data})))
    with pytest.raises(errors.DecodeError, match=rf"(?i)field {field} sample 0 .*a\.tar:000000.*({message})"):
        source.sample(0)
    assert source.read(0).tobytes() == image(0)


def test_values_of_fields() -> None:
    def value(name: str, data: bytes) -> Any:
        return member_value(name, np.frombuffer(data, np.uint8))

    assert value("cls", b"12\n") == 12
    assert value("cls", b"cat") == b"cat"
    assert value("cls", b" " * 20 + b"5") == 5
    assert value("cls", b"1" * 19) == b"1" * 19
    assert value("caption.txt", b"x") == "x"
    columns = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(value("npy", npy(columns)), columns)
    assert value("npy", npy(np.float32(3))).shape == ()
    odd = npy(np.ones(1)).replace(b"(1,), } ", b"(True,)}")
    assert value("npy", odd).tolist() == [1.0]
    assert value("xyz", b"") == b""


# ---------------------------------------------------------------- incomplete samples, damaged shards


def test_what_lacks_something_is_named_or_left_out(tmp_path: Path) -> None:
    members = [
        *sample(0), *sample(1, {"cls": None}), *sample(2, {"jpg": None, "txt": "x"}), *sample(3),
        *sample(4, {"jpg": None, "cls": None, "txt": "alone"}),
    ]  # fmt: skip
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(
        errors.ShardError, match=r'000001 lacks a label.* in .*a\.tar: it has jpg.*on_missing="skip"'
    ) as e:
        ShardSource(path)
    assert e.value.file == str(path)
    for _ in range(2):
        source = ShardSource(path, on_missing="skip")
        assert contents(source) == [image(0), image(3)]
        assert source.targets.tolist() == [0, 0]
        assert source.n_skipped == 3
    path = write_tar(tmp_path / "b.tar", sample(2, {"jpg": None}))
    with pytest.raises(errors.ShardError, match=r"000002 lacks an image.*it has cls"):
        ShardSource(path)


def test_samples_without_a_mask_are_named_or_left_out(tmp_path: Path) -> None:
    members = [*sample(0), *sample(1, {"seg.png": mask(1)}), *sample(2), *sample(3, {"seg.png": mask(3)})]
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(errors.ShardError, match=r"000000 lacks a mask"):
        ShardSource(path)
    source = ShardSource(path, on_missing="skip")
    assert contents(source) == [image(1), image(3)]
    assert source.targets.tolist() == [1, 0]
    assert source.n_skipped == 2
    write_tar(tmp_path / "b.tar", sample(5))
    with pytest.raises(errors.ShardError, match=r"b\.tar.*1 of 2 have no masks"):
        ShardSource([path, tmp_path / "b.tar"], on_missing="skip")
    listed = [*sample(0, {"json": {"y": [1, 2]}}), *sample(1, {"seg.png": mask(1), "json": {"y": [2, 3]}})]
    rows = ShardSource(
        write_tar(tmp_path / "c.tar", listed), on_missing="skip", target="json:y", num_classes=4
    ).targets
    assert rows.tolist() == [[0, 0, 1, 1]]


def test_duplicates_are_refused(tmp_path: Path) -> None:
    twice = [*sample(0), sample(0)[0]]
    with pytest.raises(errors.ShardError, match=r"sample 000000 has the field jpg twice"):
        ShardSource(write_tar(tmp_path / "a.tar", twice))
    with pytest.raises(errors.ShardError, match=r"two samples are called 000000"):
        ShardSource(write_tar(tmp_path / "b.tar", [*sample(0), *sample(1), *sample(0)]))
    torn = [sample(0)[0], sample(1)[0], sample(0)[1], sample(1)[1]]  # all images, then all labels
    with pytest.raises(errors.ShardError, match=r"000000 lacks a label"):
        ShardSource(write_tar(tmp_path / "c.tar", torn))
    same = [write_tar(tmp_path / name, sample(0)) for name in ("d.tar", "e.tar")]
    assert len(ShardSource(same)) == 2  # shards may count alike


@pytest.mark.parametrize("name", ["folder", "gz", "empty", "missing", "fifo", "cut", "unsafe"])
def test_shards_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    good = write_tar(tmp_path / "good.tar", sample(0)).read_bytes()
    expected, message = {
        "folder": (errors.SourceError, "none of them is a .tar"),
        "gz": (errors.ShardError, "gunzip"),
        "empty": (errors.ShardError, "it is empty"),
        "missing": (errors.MissingError, "does not exist"),
        "fifo": (errors.UnsafeError, "not a regular file"),
        "cut": (errors.ShardError, "cut"),
        "unsafe": (errors.UnsafeError, "leads out"),
    }[name]
    if name == "folder":
        path.mkdir()
    elif name == "fifo":
        os.mkfifo(path)
    elif name == "gz":
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("x"))
    elif name == "unsafe":
        write_tar(path, [("../x.jpg", b"x")])
    elif name != "missing":
        path.write_bytes({"empty": b"", "cut": good[:-9728]}[name])
    with pytest.raises(expected, match=rf"a\.tar.*{message}|{message}.*a\.tar") as e:
        ShardSource(path)
    assert e.value.remedy
    assert e.value.file == str(path)
    assert not list(tmp_path.glob("*.fieldloom"))
