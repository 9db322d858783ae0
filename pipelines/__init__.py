"""Decoding, and our kernels inside DALI graphs.

    header.py     what is known of an image before it is decoded; refuses what DALI would crash on
    decode.py     windows of images through one DALI pipeline that survives bad images
    operator.py   `fused`: a whole recipe as an operator for any `@pipeline_def`
    stage.py      the same on a pipeline's outputs

Importing this package starts no DALI.
"""

if __name__ != "fieldloom.pipelines":
    raise ImportError(
        "this folder is the package fieldloom.pipelines: install the project (pip install -e .) "
        "and import fieldloom.pipelines"
    )
