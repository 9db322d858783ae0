"""Stage 1 in plain NumPy float64, from the definitions: random numbers, fields, composed controls.

Slow on purpose and written apart from the kernels: sums over modes and noise points instead of matrix
products over tables, 3 x 3 matrices instead of unrolled moves, complex numbers instead of chroma pairs.
"""

from dataclasses import dataclass

import numpy as np

from .lattice import FOLD_MARGIN
from .laws import NOISE_MARGIN, NOISE_SPACING, Gaussian, Law, PowerLaw
from .plan import FieldColor, FieldWarp, PassPlan
from .records import FIELD_DRAWS

_WORD = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Philox 4x32-10 of counters (n, 4) and keys (n, 2) or (2,) -> uint32 (n, 4)."""
    c0, c1, c2, c3 = np.asarray(counters, np.uint64).T
    k0, k1 = np.asarray(keys, np.uint64).T
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (second >> _HALF) ^ c1 ^ k0, second & _WORD
        c2, c3 = (first >> _HALF) ^ c3 ^ k1, first & _WORD
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _WORD, (k1 + np.uint64(0xBB67AE85)) & _WORD
    return np.stack([c0, c1, c2, c3], 1).astype(np.uint32)


def normals(n: int, *, sample: int, epoch: int, stream: int, seed: int, first_draw: int) -> np.ndarray:
    """n standard normals float64 of one sample's stream: Box-Muller on word pairs (0, 1) and (2, 3).

    A word w means the uniform number floor(w / 2^8) / 2^24 in [0, 1); the radius takes the middle of
    that step, so that it stays finite, and the angle is 2 pi u - pi.
    """
    draws = first_draw + np.arange(-(-n // 4))
    fixed = np.broadcast_to([sample, epoch, stream], (len(draws), 3))
    words = philox(np.column_stack([fixed, draws]), np.array([seed & 0xFFFFFFFF, seed >> 32]))
    u = (words >> np.uint32(8)).astype(np.float64) / 2**24
    radius = np.sqrt(-2 * np.log(u[:, ::2] + 2.0**-25))
    angle = 2 * np.pi * u[:, 1::2] - np.pi
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2).reshape(-1)[:n]


def power_law_field(
    y: np.ndarray, x: np.ndarray, z: np.ndarray, *, gamma: float, modes: int, period: float
) -> np.ndarray:
    """Power-law field at output positions y (m,), x (n,) in pixels, before it is bounded: (m, n).

    Sum over mode numbers 0..modes on each axis, not both 0, of |k|^(-gamma/2) times the four products of
    a cosine or sine along y and one along x, each with its own normal; pairs with both numbers positive
    count sqrt(2) (they stand for k and its mirror image). z runs over 1, cos 1, sin 1, cos 2, ... of y,
    then of x.
    """

    def waves(t: np.ndarray) -> list[tuple[int, np.ndarray]]:
        out = [(0, np.ones_like(t))]
        for k in range(1, modes + 1):
            phase = 2 * np.pi * k * t / period
            out += [(k, np.cos(phase)), (k, np.sin(phase))]
        return out

    field = np.zeros((len(y), len(x)))
    across = waves(np.asarray(x, np.float64))
    weights = iter(z)
    for ky, wave_y in waves(np.asarray(y, np.float64)):
        for kx, wave_x in across:
            weight = next(weights)
            if ky == kx == 0:
                continue
            amplitude = np.hypot(ky, kx) ** (-gamma / 2) * (np.sqrt(2) if ky and kx else 1)
            field += amplitude * weight * np.outer(wave_y, wave_x)
    return field


def gaussian_points(extent: float, length: float) -> np.ndarray:
    """Places of the white noise on an axis of `extent` sides, in sides."""
    step = NOISE_SPACING * length
    low = int(np.floor(-NOISE_MARGIN * length / step))
    high = int(np.ceil((extent + NOISE_MARGIN * length) / step))
    return np.arange(low, high + 1) * step


def gaussian_field(
    y: np.ndarray, x: np.ndarray, z: np.ndarray, *, length: float, height: int, width: int
) -> np.ndarray:
    """Gaussian field of deviation 1 at output positions y (m,), x (n,) in pixels: (m, n).

    White noise at the points u_a, convolved with exp(-(d / length)^2) and divided by the local root sum
    of squares; lengths are fractions of the shorter side.
    """
    side = min(height, width)
    noise_y, noise_x = gaussian_points(height / side, length), gaussian_points(width / side, length)
    z = np.asarray(z, np.float64).reshape(len(noise_y), len(noise_x))
    field = np.empty((len(y), len(x)))
    for i, at_y in enumerate(np.asarray(y) / side):
        weight_y = np.exp(-(((at_y - noise_y) / length) ** 2))
        for j, at_x in enumerate(np.asarray(x) / side):
            weight = np.outer(weight_y, np.exp(-(((at_x - noise_x) / length) ** 2)))
            field[i, j] = (weight * z).sum() / np.sqrt((weight**2).sum())
    return field


@dataclass(frozen=True, slots=True)
class Step:
    """One transform of a compiled recipe: what the kernels' TRANSFORM records say, in plain terms."""

    kind: str
    law: Law | None
    slot: int
    first_field: int
    n_fields: int
    no_fold: bool


def steps_of(plan: PassPlan) -> list[Step]:
    """The transforms of a plan, one for each kind of a composition."""
    steps: list[Step] = []
    for transform in plan.transforms:
        if isinstance(transform, FieldWarp):
            first = 0
            for kind in transform.kinds:
                n_fields = 1 if kind == "rotate" else 2
                steps.append(Step(kind, transform.law, transform.slot, first, n_fields, transform.no_fold))
                first += n_fields
        elif isinstance(transform, FieldColor):
            kind, n_fields = ("hsv", 3) if transform.hsv else ("color", 4)
            steps.append(Step(kind, transform.law, transform.slot, 0, n_fields, False))
        else:
            steps.append(Step("color", None, transform.slot, 0, 4, False))
    return steps


def fields_of(
    step: Step, index: int, sample: np.ndarray, seed: int, y: np.ndarray, x: np.ndarray, plan: PassPlan
) -> list[np.ndarray]:
    """The fields of one transform at positions y (m,), x (n,) in pixels, scaled to their amplitudes."""
    out = []
    for f in range(step.n_fields):
        amplitude = float(sample["amplitude"][index, f])
        if step.law is None:
            out.append(np.full((len(y), len(x)), amplitude))
            continue
        if isinstance(step.law, PowerLaw):
            n = (2 * step.law.n_modes() + 1) ** 2
        else:
            side = min(plan.height, plan.width)
            n = len(gaussian_points(plan.height / side, step.law.length))
            n *= len(gaussian_points(plan.width / side, step.law.length))
        z = normals(
            n,
            sample=int(sample["sample"]),
            epoch=int(sample["epoch"]),
            stream=int(sample["stream"]) | step.slot,
            seed=seed,
            first_draw=(step.first_field + f + 1) * FIELD_DRAWS,
        )
        if isinstance(step.law, Gaussian):
            size = {"height": plan.height, "width": plan.width}
            field = gaussian_field(y, x, z, length=step.law.length, **size)
        else:
            gamma, period = float(sample["gamma"][index]), max(plan.height, plan.width)
            field = power_law_field(y, x, z, gamma=gamma, modes=step.law.n_modes(), period=period)
            field = field / abs(field).max()
        out.append(amplitude * field)
    return out


def matrix_of(kind: str, fields: list[np.ndarray]) -> np.ndarray:
    """Homogeneous matrices (m, n, 3, 3) of a geometric transform, on centered unit coordinates (x, y, 1)."""
    matrix = np.zeros((*fields[0].shape, 3, 3))
    matrix[..., [0, 1, 2], [0, 1, 2]] = 1
    g, h = fields[0], fields[-1]
    if kind == "translate":
        matrix[..., 0, 2], matrix[..., 1, 2] = g, h
    elif kind == "scale":
        matrix[..., 0, 0], matrix[..., 1, 1] = 1 + g, 1 + h
    elif kind == "shear":
        matrix[..., 0, 1], matrix[..., 1, 0] = g, h
    else:
        cosine, sine = np.cos(np.pi * g), np.sin(np.pi * g)
        matrix[..., 0, 0], matrix[..., 0, 1] = cosine, -sine
        matrix[..., 1, 0], matrix[..., 1, 1] = sine, cosine
    return matrix


def corner_gradients(u: np.ndarray, step: float) -> np.ndarray:
    """Gradients of a bilinear displacement u (2, m, n), nodes `step` apart, at every cell's corners.

    Returns:
        (4 (m - 1) (n - 1), 2, 2): entry [., a, b] is the derivative of component a (x, y) along b (x, y).
    """
    along_x, along_y = np.diff(u, axis=2) / step, np.diff(u, axis=1) / step
    # The x derivative is constant along an edge in x: a cell has a top and a bottom one.
    corners = [
        np.stack([along_x[:, top : top + u.shape[1] - 1], along_y[:, :, left : left + u.shape[2] - 1]], -1)
        for top in (0, 1)
        for left in (0, 1)
    ]
    return np.moveaxis(np.stack(corners), 1, 3).reshape(-1, 2, 2)


def no_fold_factor(u: np.ndarray, step: float, margin: float = FOLD_MARGIN) -> float:
    """Largest kappa <= 1 such that det(I + k grad u) >= margin at all cell corners for all k <= kappa."""
    gradient = corner_gradients(u, step)
    # det(I + k G) = 1 + k trace + k^2 det, so the bound first fails at a root of a quadratic; both roots
    # are 1 / w with w^2 (1 - margin) + w trace + det = 0.
    trace, det = np.trace(gradient, axis1=1, axis2=2), np.linalg.det(gradient)
    real = trace**2 >= 4 * det * (1 - margin)
    spread = np.sqrt(trace[real] ** 2 - 4 * det[real] * (1 - margin))
    largest = max(0.0, *((-trace[real] + spread) / (2 * (1 - margin))))
    return 1.0 if largest <= 1 else float(1 / largest)


@dataclass(frozen=True, slots=True)
class Controls:
    """Everything that stage 2 interpolates, float64, each (m, n).

    Attributes:
        x: Source x in pixels of the (reduced) source, pixel centers at whole numbers; `y` likewise.
        y: See `x`.
        gain: Of luma; `offset` is added, on a scale of 0..1.
        offset: See `gain`.
        chroma: Complex factor of I + iQ.
        hsv: What is added to hue (turns), saturation and value; None without that stage.
        linear: Whether the linear stage acts (one that multiplies by 1 still clips).
    """

    x: np.ndarray
    y: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    chroma: np.ndarray
    hsv: np.ndarray | None
    linear: bool


def controls(plan: PassPlan, pitch: int, sample: np.ndarray, seed: int) -> Controls:
    """Controls at the lattice's nodes for one SAMPLE record, whose affine is taken as it stands."""
    y, x = (np.arange(-(-side // pitch) + 1) * float(pitch) for side in (plan.height, plan.width))
    unit = min(plan.height, plan.width) / 2
    edge_x, edge_y = np.meshgrid(x, y)
    start = np.stack(
        [(edge_x - plan.width / 2) / unit, (edge_y - plan.height / 2) / unit, np.ones_like(edge_x)]
    )
    matrix = np.broadcast_to(np.eye(3), (*edge_x.shape, 3, 3))
    gain, offset = np.ones_like(edge_x), np.zeros_like(edge_x)
    chroma = np.ones(edge_x.shape, np.complex128)
    hsv, linear, guard = None, False, False
    steps = steps_of(plan)
    for index in sample["order"][: len(steps)]:
        step = steps[index]
        if not int(sample["active"]) >> int(index) & 1:
            continue
        fields = fields_of(step, index, sample, seed, y, x, plan)
        if step.kind == "hsv":
            hsv = np.stack(fields)
        elif step.kind == "color":
            linear = True
            brightness, contrast, saturation = (np.maximum(1 + f, 0) for f in fields[:3])
            gain = contrast * brightness * gain
            offset = contrast * (brightness * offset - plan.center) + plan.center
            turn = np.exp(1j * np.pi * np.clip(fields[3], -1, 1))
            chroma = brightness * contrast * saturation * turn * chroma
        else:
            guard |= step.no_fold
            matrix = matrix_of(step.kind, fields) @ matrix
    moved = np.einsum("mnij,jmn->imn", matrix, start)[:2]
    u = moved - start[:2]
    if guard:
        u = u * no_fold_factor(u, pitch / unit)
    px, py = edge_x + unit * u[0], edge_y + unit * u[1]
    a = sample["affine"].astype(np.float64)
    return Controls(
        a[0] * px + a[1] * py + a[2], a[3] * px + a[4] * py + a[5], gain, offset, chroma, hsv, linear
    )
