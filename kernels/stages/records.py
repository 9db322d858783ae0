"""The structs of the stages that both twins read; the CUDA source declares the same layout."""

import numpy as np

# Operations of a program's steps.
IDENTITY, NEAREST, BILINEAR, BRIGHTNESS, COLOR, CONTRAST, SHARPNESS, POSTERIZE, SOLARIZE = range(9)
SOLARIZE_ADD, INVERT, AUTOCONTRAST, EQUALIZE, FILL_BOX, BLUR, NOISE = range(9, 16)
# Steps that make one image of several chains (AugMix).
RESTORE, ACCUMULATE, RESOLVE = range(16, 19)

#: One step of a sample's program; steps of value IDENTITY do nothing.
#:
#: op            whole                                         value
#: NEAREST       16.16 fixed point, Pillow's: source x of      -
#:               output (x, y) is (w0 x + w1 y + w2) >> 16,
#:               source y (w3 x + w4 y + w5) >> 16; outside: fill
#: BILINEAR      likewise in 2^-FINE_BITS, for 16 bits would   -
#:               be a level off at the far edges; 64 bits:
#:               offsets are w2 + w6 2^-FINE_BITS (x) and
#:               w5 + w7 2^-FINE_BITS (y), w2 and w5 in pixels
#: BRIGHTNESS, COLOR, CONTRAST, SHARPNESS  -                   Pillow's factor
#: POSTERIZE     w0: bits kept, 0..8                           -
#: SOLARIZE      w0: threshold, 0..256                         -
#: SOLARIZE_ADD  w0: addend; w1: threshold                     -
#: FILL_BOX      w0..w3: y0, x0, y1, x1 (end exclusive)        -
#: BLUR          -                                             sigma in pixels
#: NOISE         w0: random slot                               standard deviation in levels (0..255)
#: RESTORE       back to what the program began with           -
#: ACCUMULATE    w0: weight of the present image, in 2^-16     -
#: RESOLVE       the weighted sum becomes the image            -
STEP = np.dtype([("op", "i4"), ("whole", "i4", 8), ("fill", "u1", 4), ("value", "f4")], align=True)
#: Fractional bits of BILINEAR's coefficients: 2^-15 pixels at 8192, for coefficients within 8.
FINE_BITS = 28

# How a sample is mixed.
UNMIXED, BLEND, BOX, PASTE, MASK_PLANES = range(5)
# What erased pixels get: the constant, a normal color an image, a normal color a pixel.
ERASE_CONSTANT, ERASE_REGION, ERASE_PIXEL = range(3)
#: Images that one mixture may hold, the sample's own included.
MAX_WAYS = 4

FINISH = np.dtype(
    [
        ("masks", "u8"),  # MASK_PLANES: address of ways - 1 planes uint8 (h, w): 255 times a partner's weight
        ("mode", "i4"),
        ("ways", "i4"),  # images in the mixture: 1 unmixed, usually 2
        ("partner", "i4", MAX_WAYS - 1),  # positions in the batch
        ("weight", "f4"),  # BLEND: the partner's weight
        ("box", "i4", 4),  # BOX, PASTE: y0, x0, y1, x1, where the partner shows
        ("antialias", "i4"),  # PASTE: average the pixels that one covers, instead of taking the nearest
        ("erase", "i4", 4),  # y0, x0, y1, x1 of this sample's erased box; empty: none
        ("erase_kind", "i4"),
    ],
    align=True,
)

#: One FMix mask to be made: 255 on the partner's pixels.
MASK = np.dtype(
    [
        ("out", "u8"),  # address of uint8 (h, w)
        ("sample", "i4"),  # position in the batch, whose SAMPLE holds the counter words
        ("count", "i4"),  # pixels that stay the sample's own
        ("soft", "i4"),  # half width of the soft edge in ranks; 0: hard
        ("slot", "u4"),
    ],
    align=True,
)
