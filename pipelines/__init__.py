"""Decoding, and our kernels inside DALI graphs.

    header.py     what is known of an image before it is decoded; refuses what DALI would crash on
    decode.py     windows of images through one DALI pipeline that survives bad images
    fn.py         operators for any `@pipeline_def`: recipes, single operations, a user's own
    fn_*.py       what they are made of: keys, passes, functions on the CPU and on a GPU
    operator.py   two of them for compiled plans
    train.py      `train_pipeline`: a ready pipeline with our kernels in it
    stage.py      the pass on a pipeline's outputs
    compiling.py  where recipes are compiled: the engine registers itself

Importing this package starts no DALI.
"""

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "fieldloom.pipelines":
    raise ImportError(
        "this folder is the package fieldloom.pipelines: install the project (pip install -e .) "
        "and import fieldloom.pipelines"
    )

if TYPE_CHECKING:
    from fieldloom.pipelines.fn_pixels import PixelOperation
    from fieldloom.pipelines.train import train_pipeline

#: Public name -> module that defines it.
_HOMES = {"PixelOperation": "fn_pixels", "train_pipeline": "train"}
__all__ = ["PixelOperation", "train_pipeline"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"fieldloom.pipelines.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fieldloom.pipelines' has no attribute {name!r}")
