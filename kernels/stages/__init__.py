"""What happens behind the fused pass: programs of 8-bit operations, spectra, masks, erasing and mixing.

A recipe that has any of these is *staged*: the fused pass leaves each sample as 8-bit planes (3, h, w), the
stages below work on those, and `finish` mixes, normalizes and stores. Everything here exists twice, as
Numba and as CUDA, with equal bits; drawing random parameters is host code that both share.

    spectrum   PASTA                       3 launches
    program    policies, blur, noise, ...  1 launch, however many operations
    masks      FMix                        1 launch
    finish     erase, mix, normalize       1 launch
"""

if __name__ != "fieldloom.kernels.stages":
    raise ImportError(
        "This folder is the package fieldloom.kernels.stages: install the project (pip install -e .) "
        "and import fieldloom.kernels.stages"
    )
