"""Damaged files through the loader: a value or a named error, never a crash, a hang or anything else.

seeds.py      sound JPEG, PNG and WebP files of every kind that Pillow writes, and tar shards of them
mutations.py  ways to damage any file
formats.py    ways to damage what each format means: lengths, sizes, tables, chunks
cases.py      number -> damaged file, a pure function of the seed
child.py      the process that loads them; it may die
campaign.py   starts children, notices which file killed or held one, counts, keeps failures
"""

if __name__ != "fieldloom.perf.fuzzing":
    raise ImportError(
        "this folder is the package fieldloom.perf.fuzzing: install the project (pip install -e .) "
        "and import fieldloom.perf.fuzzing"
    )
