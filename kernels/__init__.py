"""Kernels: arrays in, arrays out.

Counter-based random numbers, field laws, the lattice and fused stages (Numba on the CPU), and the
NumPy float64 reference of each. Nothing here knows of files, DALI or torch; only `fieldloom.errors`
is imported from the rest of the project.

The life of one sample (see ARCHITECTURE.md):

    plan.py     what one pass does: crop, flips, transforms, colors, output format (plain data)
    draws.py    random parameters of a batch from (seed, epoch, id, occurrence): windows, SAMPLE records
    shrink.py   tent prefilter of crops that shrink, so that the one bilinear sampling does not alias
    lattice.py  stage 1: random fields and composed controls at the nodes of a coarse lattice
    fused.py    stage 2: lattice -> coordinates -> gather -> color -> normalize -> store
    indexmap.py masks of ids where stage 2 reads their images, by nearest neighbor
    cpu.py      both stages over a batch, on a thread pool
"""

if __name__ != "fieldloom.kernels":
    raise ImportError(
        "this folder is the package fieldloom.kernels: install the project (pip install -e .) "
        "and import fieldloom.kernels"
    )
