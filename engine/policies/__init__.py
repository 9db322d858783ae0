"""Policies and single operations on 8-bit pixels, as data (`kernels.stages` executes them)."""

if __name__ != "fieldloom.policies":
    raise ImportError(
        "this folder is a part of fieldloom: install the project (pip install -e .) and import fieldloom"
    )
