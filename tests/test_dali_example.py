"""The example of a DALI pipeline: what it yields is what `augment` gives for the same ids."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import fieldloom as fl
from fieldloom.perf.photos import write_photo_folder
from fieldloom.sources import FolderSource

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "dali_pipeline.py"
N = 24  # every third photograph has an EXIF orientation, 1 to 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("example") / "photos"
    write_photo_folder(path, n=N)
    return path


def test_example_equals_augment_for_every_orientation(folder):
    spec = importlib.util.spec_from_file_location("dali_pipeline", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    source = FolderSource(str(folder))
    results = list(example.main(str(folder), batch_size=10, size=48, epochs=2))
    assert [len(images) for images, _ in results] == [10, 10, 4] * 2
    for epoch in range(2):
        images = np.concatenate([images.numpy() for images, _ in results[3 * epoch : 3 * epoch + 3]])
        targets = np.concatenate([targets.numpy() for _, targets in results[3 * epoch : 3 * epoch + 3]])
        order = np.concatenate([ids[:, 0] for _, ids, _ in example.batches(source, 10, epoch)])
        np.testing.assert_array_equal(targets, source.targets[order])
        for image, i in zip(images, order.tolist(), strict=True):
            with Image.open(source.name(i)) as file:
                whole = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
            want = fl.augment(whole, augment=example.RECIPE, id=i, epoch=epoch, seed=example.SEED, size=48)
            np.testing.assert_array_equal(image, want.numpy())


def test_example_runs_as_a_program(folder):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(folder)], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("(16, 3, 224, 224) torch.float32")
