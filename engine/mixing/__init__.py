"""Mixing of samples within groups of the plan, and the losses that go with it."""

if __name__ != "fieldloom.mixing":
    raise ImportError(
        "This folder is the package fieldloom.mixing: install the project (pip install -e .) "
        "and import fieldloom.mixing"
    )
