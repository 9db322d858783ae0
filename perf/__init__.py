"""Placeholder docstring: fieldloom.perf."""

if __name__ != "fieldloom.perf":
    raise ImportError("This folder is the package fieldloom.perf: install the project (pip install -e .) and import fieldloom.perf")
