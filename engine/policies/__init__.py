"""Policies and single operations on 8-bit pixels, as data (`kernels.stages` executes them)."""

if __name__ != "fieldloom.policies":
    raise ImportError(
        "This folder is the package fieldloom.policies: install the project (pip install -e .) "
        "and import fieldloom.policies"
    )

from .applying import apply_policy, expand_operations
from .augmix import AugMix
from .autoaugment import AutoAugment
from .chain import DualVariable, PolicyChain
from .compiling import POLICIES, Policy, compile_policy
from .external import MADAUG_OPERATIONS, SamplePolicy
from .operations import apply_operation
from .pasta import PASTA, compile_pasta
from .randaugment import RandAugment, TrivialAugmentWide
from .simple import Cutout, GaussianBlur, GaussianNoise, Grayscale, Operation, ThreeAugment

__all__ = [
    "MADAUG_OPERATIONS",
    "PASTA",
    "POLICIES",
    "AugMix",
    "AutoAugment",
    "Cutout",
    "DualVariable",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Operation",
    "Policy",
    "PolicyChain",
    "RandAugment",
    "SamplePolicy",
    "ThreeAugment",
    "TrivialAugmentWide",
    "apply_operation",
    "apply_policy",
    "compile_pasta",
    "compile_policy",
    "expand_operations",
]
