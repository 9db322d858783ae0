"""Selectors: which samples the next epoch holds, decided before any of them is read."""

if __name__ != "fieldloom.selectors":
    raise ImportError(
        "This folder is the package fieldloom.selectors: install the project (pip install -e .) "
        "and import fieldloom.selectors"
    )

from .adaptive import SampleAdaptive
from .base import Selector
from .coreset import Coreset
from .diversity import GraphCut, KCenter
from .expansion import ProgressiveExpansion
from .forgetting import Forgetting
from .infobatch import InfoBatch
from .periodic import Periodic
from .picking import Picking
from .proxies import Vectors
from .quantization import DatasetQuantization
from .ranked import EL2N, EntropyFilter, GraNd, MaxLoss, Ranked
from .rs2 import RS2
from .sampling import ClassBalanced, WeightedSampling
from .sharing import Sharing
from .signals import Signals

#: Every selector that may be passed to `DataLoader(selection=...)`.
SELECTORS = (
    RS2,
    Coreset,
    InfoBatch,
    MaxLoss,
    EL2N,
    GraNd,
    Forgetting,
    EntropyFilter,
    GraphCut,
    KCenter,
    DatasetQuantization,
    ProgressiveExpansion,
    SampleAdaptive,
    WeightedSampling,
    ClassBalanced,
)

__all__ = [
    "EL2N",
    "RS2",
    "SELECTORS",
    "ClassBalanced",
    "Coreset",
    "DatasetQuantization",
    "EntropyFilter",
    "Forgetting",
    "GraNd",
    "GraphCut",
    "InfoBatch",
    "KCenter",
    "MaxLoss",
    "Periodic",
    "Picking",
    "ProgressiveExpansion",
    "Ranked",
    "SampleAdaptive",
    "Selector",
    "Sharing",
    "Signals",
    "Vectors",
    "WeightedSampling",
]
