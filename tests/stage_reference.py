"""A batch by the definitions alone."""

import numpy as np
from kernel_cases import cut
from stage_pass import groups_of

from fieldloom.kernels import reference
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.stages import reference as staged


def reference_of(fused: FusedPass, images: list[np.ndarray], batch: Keys) -> np.ndarray:
    """float64, of a pass whose output is NCHW."""
    windows = fused.windows(batch, np.array([image.shape[:2] for image in images]))
    crops = cut(images, windows)
    samples = fused.records(batch, windows, Sources.of_arrays(crops))
    stages = fused.stages(batch, groups_of(fused.plan, len(batch)))
    if stages is None:
        return reference.augment(fused, batch.seed, samples, crops)
    return staged.augment(fused, batch.seed, samples, stages, crops)
