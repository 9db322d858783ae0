"""`python -m fieldloom`: the command line, which lives in perf (the only upward import)."""

from fieldloom.perf.cli import main

if __name__ == "__main__":
    main()
