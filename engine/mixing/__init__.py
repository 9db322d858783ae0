"""Mixing of samples within groups of the plan, and the losses that go with it."""

if __name__ != "fieldloom.mixing":
    raise ImportError(
        "this folder is a part of fieldloom: install the project (pip install -e .) and import fieldloom"
    )
