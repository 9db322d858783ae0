"""The training example: it learns, whatever it trains with."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fieldloom.perf.photos import write_photo_folder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_classifier.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_classifier", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SIDE = 16  # a quarter of the work
    return module


@pytest.mark.parametrize("augment", ["randaugment", "fmix"])
def test_it_learns(example: ModuleType, augment: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--augment", augment, "--images", "384", "--epochs", "4", "--threads", "1"]
    # Eight kinds of pictures: chance is 0.125.
    assert example.main(arguments) > 0.3
    assert capsys.readouterr().out.count("epoch") == 4


def test_every_choice_makes_a_recipe(example: ModuleType) -> None:
    import fieldloom as fl

    for name in example.AUGMENTS:
        images = np.zeros((8, 16, 16, 3), np.uint8)
        recipe = example.recipe(name, crop=fl.RandomCrop(padding=4))
        with fl.DataLoader((images, [0] * 8), batch_size=8, size=16, augment=recipe) as loader:
            assert next(iter(loader)).images.shape == (8, 3, 16, 16)


def test_it_reads_folders_and_archives(example: ModuleType, tmp_path: Path) -> None:
    write_photo_folder(tmp_path / "photos", n=24)
    training, testing = example.read(tmp_path / "photos", 24)
    assert len(training) == 19
    assert len(testing) == 5
    files = [path.read_bytes() for path, _ in training]
    offsets = np.cumsum([0] + [len(data) for data in files])
    data = np.frombuffer(b"".join(files), np.uint8)
    labels = np.array([label for _, label in training], np.uint8)
    parts = {f"{part}_{k}": v for part in ("train", "test") for k, v in
             (("jpeg", data), ("offsets", offsets), ("labels", labels))}  # fmt: skip
    np.savez(tmp_path / "data.npz", **parts)
    read = example.read(tmp_path / "data.npz", 10)
    assert [len(part) for part in read] == [10, 2]
    pairs = list(zip(files, labels.tolist(), strict=True))
    assert all(pair in pairs for part in read for pair in part)


def test_part_of_a_sorted_data_set_holds_all_classes(example: ModuleType, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(5), 40)
    one = {"jpeg": np.zeros(len(labels), np.uint8), "offsets": np.arange(len(labels) + 1), "labels": labels}
    np.savez(
        tmp_path / "data.npz", **{f"{part}_{k}": v for part in ("train", "test") for k, v in one.items()}
    )
    for part in example.read(tmp_path / "data.npz", 100):
        assert {label for _, label in part} == set(range(5))
    for label in range(5):
        (tmp_path / "photos" / str(label)).mkdir(parents=True)
        for k in range(8):
            (tmp_path / "photos" / str(label) / f"{k}.jpg").touch()
    assert {label for _, label in example.read(tmp_path / "photos", 30)[0]} == set(range(5))
