"""Tables of paths and labels: how they are read, what their columns are, and the source over them."""

if __name__ != "fieldloom.sources.manifest":
    raise ImportError(
        "This folder is the package fieldloom.sources.manifest: install the project (pip install -e .) "
        "and import fieldloom.sources.manifest"
    )
