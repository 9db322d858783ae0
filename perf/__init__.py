"""The command line, the demo and the benchmarks. Imports everything, is imported by nothing.

Results lie in `perf/results/`, one JSON file a run, with the machine, versions, n, median and spread.
"""

if __name__ != "fieldloom.perf":
    raise ImportError(
        "this folder is the package fieldloom.perf: install the project (pip install -e .) "
        "and import fieldloom.perf"
    )
