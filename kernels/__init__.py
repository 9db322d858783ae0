"""Placeholder docstring: fieldloom.kernels."""

if __name__ != "fieldloom.kernels":
    raise ImportError("This folder is the package fieldloom.kernels: install the project (pip install -e .) and import fieldloom.kernels")
