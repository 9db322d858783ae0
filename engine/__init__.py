"""Placeholder docstring: fieldloom."""

if __name__ != "fieldloom":
    raise ImportError("This folder is the package fieldloom: install the project (pip install -e .) and import fieldloom")
