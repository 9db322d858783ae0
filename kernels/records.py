"""The structs that both twins read: one SAMPLE an output image, one TRANSFORM an operation of the recipe.

The CPU kernels take them as NumPy structured arrays; the CUDA source declares the same layout.
"""

import numpy as np

#: Transforms that one recipe may hold.
MAX_TRANSFORMS = 8

# Kinds of transforms.
TRANSLATE, SCALE, SHEAR, ROTATE, COLOR, HSV = range(6)
#: Random fields that each kind takes.
N_FIELDS = (2, 2, 2, 1, 4, 3)
#: Names of the geometric kinds.
GEOMETRIC = {"translate": TRANSLATE, "scale": SCALE, "shear": SHEAR, "rotate": ROTATE}

# Laws: a field that is 1 everywhere (plain jitter), Gaussian, power law.
CONSTANT, GAUSSIAN, POWER = range(3)

# Planes of the lattice: source coordinates, linear color, additive HSV.
SX, SY, GAIN, OFFSET, CHROMA_P, CHROMA_Q, HUE, SATURATION, VALUE = range(9)
N_PLANES = 9

# Bits of the color mode.
LINEAR, ADDITIVE_HSV = 1, 2

# Borders.
REFLECT, EDGE, FILL = range(3)
BORDERS = {"reflect": REFLECT, "edge": EDGE, "constant": FILL}

#: Random draws of field f of an operation start at (f + 1) * FIELD_DRAWS, behind its scalar draws. Far more
#: than any field takes: the finest Gaussian law on a strip of 4 x 1 sides needs 1150 blocks of four.
FIELD_DRAWS = 1 << 16

TRANSFORM = np.dtype(
    [
        ("kind", "i4"),
        ("law", "i4"),
        ("slot", "u4"),
        ("first_field", "u4"),  # within its operation: numbers its blocks of random draws
        ("ky", "i4"),  # shape of Z
        ("kx", "i4"),
        ("by", "i4"),  # offsets into the basis table: (nodes_y, ky)
        ("bx", "i4"),  # (kx, nodes_x), transposed so that the inner loop runs along x
        ("log_k", "i4"),  # (ky, kx), power law only
        ("bonus", "i4"),
        ("guard", "i4"),  # 1: shrink the displacement until no lattice cell folds
        ("pad", "i4"),
    ],
    align=True,
)

SAMPLE = np.dtype(
    [
        ("source", "u8"),  # address of the crop's first byte: uint8 RGB, rows `stride` bytes apart
        ("stride", "i8"),
        (
            "copy",
            "u8",
        ),  # where the CUDA prefilter writes this sample's copy, 0 for none; the CPU makes its own
        ("height", "i4"),
        ("width", "i4"),
        ("reduce", "i4", 2),  # box reduction before everything, (y, x)
        ("taps", "u2", (2, 4)),  # tent prefilter (y, x): center and three to each side, sum 256
        ("affine", "f4", 6),  # output pixel edges -> source pixel centers: sx = a0 x + a1 y + a2
        ("sample", "u4"),  # counter words
        ("epoch", "u4"),
        ("stream", "u4"),  # occurrence << 24 | view << 16
        ("active", "u4"),  # bit t: transform t acts on this sample
        ("order", "i4", MAX_TRANSFORMS),  # transforms in the order of application
        ("gamma", "f4", MAX_TRANSFORMS),
        ("amplitude", "f4", (MAX_TRANSFORMS, 4)),
    ],
    align=True,
)
