"""The profiler: where a loader's time goes, and what to change. See docs/profiling.md."""

if __name__ != "fieldloom.perf.profiling":
    raise ImportError(
        "this folder is the package fieldloom.perf.profiling: install the project (pip install -e .) "
        "and import fieldloom.perf.profiling"
    )
