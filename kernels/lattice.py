"""Stage 1: random fields and composed controls at the nodes of a coarse lattice, CPU twin.

Node (i, j) lies at output position (j * pitch, i * pitch), measured from the image's edge. Everything
random or expensive (fields, trigonometry, composition) happens here, at 1/16 to 1/64 of the pixels;
stage 2 only interpolates. The lattice *is* the definition of a field warp: bilinear between nodes.

A sample's nodes are planes of float32 (N_PLANES, nodes_y, nodes_x): source coordinates, then linear
color (luma gain and offset, chroma rotation times gain), then additive HSV.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint32 as u32

from .elementary import exp2, sincospi
from .intrinsics import INLINE, entry, fma, sqrt
from .philox import fill_normals
from .records import (
    ADDITIVE_HSV,
    CHROMA_P,
    CHROMA_Q,
    COLOR,
    CONSTANT,
    FIELD_DRAWS,
    GAIN,
    HSV,
    HUE,
    LINEAR,
    N_PLANES,
    OFFSET,
    POWER,
    ROTATE,
    SATURATION,
    SCALE,
    SHEAR,
    SX,
    SY,
    TRANSLATE,
    VALUE,
)

#: Smallest Jacobian determinant, relative to no warp, that `no_fold` leaves in any cell.
FOLD_MARGIN = 0.05


@njit(**INLINE)
def n_fields(kind):  # type: ignore[no-untyped-def]
    """Random fields of a transform kind."""
    if kind == ROTATE:
        return 1
    if kind == COLOR:
        return 4
    return 3 if kind == HSV else 2


@njit(**INLINE)
def _spectrum(z, transform, basis, gamma):  # type: ignore[no-untyped-def]
    """Scale the normals of a power-law field by |k|^(-gamma/2)."""
    n = transform.ky * transform.kx
    log_k, bonus = basis[transform.log_k : transform.log_k + n], basis[transform.bonus : transform.bonus + n]
    for i in range(n):
        z[i] = z[i] * exp2(fma(f32(-0.5) * gamma, log_k[i], bonus[i]))


@njit(**INLINE)
def _add_scaled(values, weight, total):  # type: ignore[no-untyped-def]
    """total += weight * values."""
    for i in range(total.shape[0]):
        total[i] = fma(weight, values[i], total[i])


@njit(**INLINE)
def _synthesize(z, transform, basis, column, field):  # type: ignore[no-untyped-def]
    """field = by Z bx^T, row by row; `column` is scratch of length kx."""
    nodes_y, nodes_x = field.shape
    ky, kx = transform.ky, transform.kx
    column = column[:kx]
    for y in range(nodes_y):
        weights = basis[transform.by + y * ky : transform.by + (y + 1) * ky]
        column[:] = f32(0)
        for k in range(ky):
            _add_scaled(z[k * kx : (k + 1) * kx], weights[k], column)
        row = field[y]
        row[:] = f32(0)
        for k in range(kx):
            start = transform.bx + k * nodes_x
            _add_scaled(basis[start : start + nodes_x], column[k], row)


@njit(**INLINE)
def _largest(field):  # type: ignore[no-untyped-def]
    """Largest absolute value; exact bound of the bilinear field too, whose extremes lie at nodes."""
    largest = f32(0)
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            largest = max(largest, abs(field[y, x]))
    return largest


@njit(**INLINE)
def _draw_fields(sample, transform, index, seed_low, seed_high, basis, z, column, fields):  # type: ignore[no-untyped-def]
    """All fields of one transform, scaled to their amplitudes."""
    for f in range(n_fields(transform.kind)):
        amplitude = sample.amplitude[index, f]
        field = fields[f]
        if transform.law == CONSTANT:
            field[:] = amplitude
            continue
        if amplitude == f32(0):
            field[:] = f32(0)
            continue
        stream = u32(sample.stream | transform.slot)
        first = u32((transform.first_field + u32(f) + u32(1)) * u32(FIELD_DRAWS))
        used = (transform.ky * transform.kx + 3) // 4 * 4
        fill_normals(z[:used], sample.sample, sample.epoch, stream, seed_low, seed_high, first)
        if transform.law == POWER:
            _spectrum(z, transform, basis, sample.gamma[index])
        _synthesize(z, transform, basis, column, field)
        inverse = f32(1)
        if transform.law == POWER:
            largest = _largest(field)
            inverse = f32(1) / largest if largest > f32(0) else f32(0)
        # Two products, so that the bound is exact: fl(x fl(1/x)) never passes 1, fl(x fl(a/x)) may pass a.
        for y in range(field.shape[0]):
            for x in range(field.shape[1]):
                field[y, x] = field[y, x] * inverse * amplitude


@njit(**INLINE)
def _move(kind, fields, x, y):  # type: ignore[no-untyped-def]
    """Apply one geometric transform to the points (x, y), planes of centered unit coordinates.

    Fields are evaluated at the node (the target pixel), matrices act on the current coordinates.
    """
    first, second = fields[0], fields[1]
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            px, py = x[i, j], y[i, j]
            g = first[i, j]
            if kind == TRANSLATE:
                x[i, j] = px + g
                y[i, j] = py + second[i, j]
            elif kind == SCALE:
                x[i, j] = fma(g, px, px)
                y[i, j] = fma(second[i, j], py, py)
            elif kind == SHEAR:
                x[i, j] = fma(g, py, px)
                y[i, j] = fma(second[i, j], px, py)
            else:
                s, c = sincospi(g)
                x[i, j] = fma(c, px, -(s * py))
                y[i, j] = fma(s, px, c * py)


@njit(**INLINE)
def _recolor(fields, center, nodes):  # type: ignore[no-untyped-def]
    """Compose one brightness, contrast, saturation, hue step onto the linear color planes."""
    one = f32(1)
    for i in range(nodes.shape[1]):
        for j in range(nodes.shape[2]):
            brightness = max(fields[0, i, j] + one, f32(0))
            contrast = max(fields[1, i, j] + one, f32(0))
            saturation = max(fields[2, i, j] + one, f32(0))
            s, c = sincospi(min(max(fields[3, i, j], f32(-1)), one))
            gain = brightness * contrast
            chroma = gain * saturation
            nodes[GAIN, i, j] = gain * nodes[GAIN, i, j]
            nodes[OFFSET, i, j] = fma(gain, nodes[OFFSET, i, j], center * (one - contrast))
            p, q = nodes[CHROMA_P, i, j], nodes[CHROMA_Q, i, j]
            nodes[CHROMA_P, i, j] = chroma * fma(p, c, -(q * s))
            nodes[CHROMA_Q, i, j] = chroma * fma(p, s, q * c)


@njit(**INLINE)
def _safe_corner(e, f, g, h, kappa):  # type: ignore[no-untyped-def]
    """Largest kappa' <= kappa that keeps det(I + kappa' [[e, f], [g, h]]) >= FOLD_MARGIN below it."""
    trace = e + h
    det = fma(e, h, -(f * g))
    room = f32(1 - FOLD_MARGIN)
    # Smallest positive root of det k^2 + trace k + room, in the form without cancellation.
    inner = fma(trace, trace, f32(-4) * (det * room))
    if inner >= f32(0):
        divisor = sqrt(inner) - trace
        if divisor > f32(0):
            kappa = min(kappa, (room + room) / divisor)
    return kappa


@njit(**INLINE)
def unfold_factor(ux, uy, per_pitch):  # type: ignore[no-untyped-def]
    """Largest factor <= 1 for the displacement (ux, uy) so that no bilinear cell folds.

    On a bilinear cell the Jacobian determinant is affine, so its values at the four corners bound it:
    the test is exact. `per_pitch` turns differences of u between nodes into derivatives.
    """
    kappa = f32(1)
    for i in range(ux.shape[0] - 1):
        for j in range(ux.shape[1] - 1):
            top_x, top_y = (ux[i, j + 1] - ux[i, j]) * per_pitch, (uy[i, j + 1] - uy[i, j]) * per_pitch
            low_x = (ux[i + 1, j + 1] - ux[i + 1, j]) * per_pitch
            low_y = (uy[i + 1, j + 1] - uy[i + 1, j]) * per_pitch
            left_x, left_y = (ux[i + 1, j] - ux[i, j]) * per_pitch, (uy[i + 1, j] - uy[i, j]) * per_pitch
            right_x = (ux[i + 1, j + 1] - ux[i, j + 1]) * per_pitch
            right_y = (uy[i + 1, j + 1] - uy[i, j + 1]) * per_pitch
            kappa = _safe_corner(top_x, left_x, top_y, left_y, kappa)
            kappa = _safe_corner(top_x, right_x, top_y, right_y, kappa)
            kappa = _safe_corner(low_x, left_x, low_y, left_y, kappa)
            kappa = _safe_corner(low_x, right_x, low_y, right_y, kappa)
    return kappa


@entry
def lattice(sample, transforms, basis, seed_low, seed_high, pitch, height, width, center, value_scale, nodes):  # type: ignore[no-untyped-def]
    """Fill one sample's nodes (N_PLANES, nodes_y, nodes_x).

    Args:
        sample: SAMPLE record; `affine` must already refer to the (reduced) source.
        transforms: TRANSFORM records of the recipe; at most MAX_TRANSFORMS.
        basis: Table of all bases, float32.
        seed_low: Lower half of the seed; `seed_high` the upper.
        seed_high: See `seed_low`.
        pitch: Node distance in output pixels.
        height: Output height in pixels; `width` its width.
        width: See `height`.
        center: Luma about which contrast acts, 0..1.
        value_scale: What turns pixel values into 0..1 (1/255, or 1 behind the HSV stage).
        nodes: Output planes.

    Returns:
        The color mode of this sample: bits LINEAR and ADDITIVE_HSV.
    """
    nodes_y, nodes_x = nodes.shape[1], nodes.shape[2]
    longest, widest = 4, 1
    for t in range(len(transforms)):
        longest = max(longest, transforms[t].ky * transforms[t].kx)
        widest = max(widest, transforms[t].kx)
    z = np.empty((longest + 3) // 4 * 4, np.float32)
    column = np.empty(widest, np.float32)
    fields = np.empty((4, nodes_y, nodes_x), np.float32)
    px, py = nodes[SX], nodes[SY]
    # Centered unit coordinates: half the shorter side is 1, so that rotations stay rotations.
    unit = f32(0.5) * f32(i32(min(height, width)))
    per_pixel = f32(1) / unit
    middle_x, middle_y = f32(0.5) * f32(i32(width)), f32(0.5) * f32(i32(height))
    for i in range(nodes_y):
        for j in range(nodes_x):
            px[i, j] = (f32(i32(j * pitch)) - middle_x) * per_pixel
            py[i, j] = (f32(i32(i * pitch)) - middle_y) * per_pixel
    mode = 0
    moved = False
    guard = False
    for rank in range(len(transforms)):
        index = sample.order[rank]
        if not (sample.active >> u32(index)) & u32(1):
            continue
        transform = transforms[index]
        _draw_fields(sample, transform, index, seed_low, seed_high, basis, z, column, fields)
        if transform.kind == COLOR:
            if not mode & LINEAR:
                mode |= LINEAR
                nodes[GAIN] = f32(1)
                nodes[OFFSET] = f32(0)
                nodes[CHROMA_P] = f32(1)
                nodes[CHROMA_Q] = f32(0)
            _recolor(fields, center, nodes)
        elif transform.kind == HSV:
            mode |= ADDITIVE_HSV
            for f in range(3):
                nodes[HUE + f] = fields[f]
        else:
            moved = True
            guard |= transform.guard != 0
            _move(transform.kind, fields, px, py)
    a = sample.affine
    if moved:
        ux, uy = fields[0], fields[1]
        for i in range(nodes_y):
            for j in range(nodes_x):
                ux[i, j] = px[i, j] - (f32(i32(j * pitch)) - middle_x) * per_pixel
                uy[i, j] = py[i, j] - (f32(i32(i * pitch)) - middle_y) * per_pixel
        amount = unit
        if guard:
            amount = unit * unfold_factor(ux, uy, unit / f32(i32(pitch)))
        for i in range(nodes_y):
            for j in range(nodes_x):
                qx = fma(ux[i, j], amount, f32(i32(j * pitch)))
                qy = fma(uy[i, j], amount, f32(i32(i * pitch)))
                px[i, j] = fma(a[0], qx, fma(a[1], qy, a[2]))
                py[i, j] = fma(a[3], qx, fma(a[4], qy, a[5]))
    else:
        for i in range(nodes_y):
            for j in range(nodes_x):
                qx, qy = f32(i32(j * pitch)), f32(i32(i * pitch))
                px[i, j] = fma(a[0], qx, fma(a[1], qy, a[2]))
                py[i, j] = fma(a[3], qx, fma(a[4], qy, a[5]))
    if mode & LINEAR:
        scale = f32(1) if mode & ADDITIVE_HSV else value_scale
        for i in range(nodes_y):
            for j in range(nodes_x):
                nodes[GAIN, i, j] = nodes[GAIN, i, j] * scale
                nodes[CHROMA_P, i, j] = nodes[CHROMA_P, i, j] * scale
                nodes[CHROMA_Q, i, j] = nodes[CHROMA_Q, i, j] * scale
    return mode


@entry
def lattices(samples, transforms, basis, seed_low, seed_high, pitch, height, width, center, out, modes):  # type: ignore[no-untyped-def]
    """Nodes of every sample into out (n, N_PLANES, nodes_y, nodes_x), for tests and for users' own passes."""
    for k in range(len(samples)):
        modes[k] = lattice(
            samples[k], transforms, basis, seed_low, seed_high, pitch, height, width, center,
            f32(0.00392156863), out[k],
        )  # fmt: skip


__all__ = ["FOLD_MARGIN", "N_PLANES", "SATURATION", "VALUE", "lattice", "lattices", "unfold_factor"]
