"""Policies and single operations on 8-bit pixels, as data (`kernels.stages` executes them)."""

if __name__ != "fieldloom.policies":
    raise ImportError(
        "This folder is the package fieldloom.policies: install the project (pip install -e .) "
        "and import fieldloom.policies"
    )
