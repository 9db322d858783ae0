"""Settings that all tests share."""

from hypothesis import settings

# No test asserts on time; the first example may compile a kernel.
settings.register_profile("fieldloom", deadline=None)
settings.load_profile("fieldloom")
