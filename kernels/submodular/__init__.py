"""Greedy maximization over the samples of a class: facility location, graph cut, k-center."""

if __name__ != "fieldloom.kernels.submodular":
    raise ImportError(
        "This folder is the package fieldloom.kernels.submodular: install the project (pip install -e .) "
        "and import fieldloom.kernels.submodular"
    )
