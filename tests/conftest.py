"""Settings that all tests share."""

import pytest
from hypothesis import settings

# No test asserts on time; the first example may compile a kernel.
settings.register_profile("fieldloom", deadline=None)
settings.load_profile("fieldloom")


@pytest.fixture(autouse=True)
def _cpu_unless_asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU, too, `device="auto"` is the CPU for the tests that look into batches there."""
    if request.node.get_closest_marker("gpu") is None and "test_device" not in request.node.path.stem:
        monkeypatch.setattr("fieldloom.device._automatic", lambda decodes: "cpu")
