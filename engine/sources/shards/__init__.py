"""WebDataset tar shards with random access: headers, samples, the index, and the source over them."""

if __name__ != "fieldloom.sources.shards":
    raise ImportError(
        "This folder is the package fieldloom.sources.shards: install the project (pip install -e .) "
        "and import fieldloom.sources.shards"
    )
