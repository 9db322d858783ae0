"""Packed data sets: their format, how they are written, read and checked, and the source over them."""

if __name__ != "fieldloom.sources.packed":
    raise ImportError(
        "This folder is the package fieldloom.sources.packed: install the project (pip install -e .) "
        "and import fieldloom.sources.packed"
    )
