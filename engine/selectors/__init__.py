"""Selectors: which samples the next epoch holds, decided before any of them is read."""

if __name__ != "fieldloom.selectors":
    raise ImportError(
        "This folder is the package fieldloom.selectors: install the project (pip install -e .) "
        "and import fieldloom.selectors"
    )
