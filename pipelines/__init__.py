"""Placeholder docstring: fieldloom.pipelines."""

if __name__ != "fieldloom.pipelines":
    raise ImportError("This folder is the package fieldloom.pipelines: install the project (pip install -e .) and import fieldloom.pipelines")
