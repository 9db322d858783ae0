"""Placeholder docstring: fieldloom.sources."""

if __name__ != "fieldloom.sources":
    raise ImportError("This folder is the package fieldloom.sources: install the project (pip install -e .) and import fieldloom.sources")
