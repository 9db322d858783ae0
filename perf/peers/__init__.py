"""The benchmark of peers: six jobs, the same work on the same files by everybody who is installed.

| job | what |
|---|---|
| J1 | decode, RandomResizedCrop(224), flip, normalize -> float32 NCHW |
| J2 | J1 + color jitter (0.4, 0.4, 0.4, 0.1) on every image |
| J3 | J1 + a smooth random warp of every image |
| J4 | J3 + color jitter + mixing of every image |
| J5 | warp + color jitter + normalize of 224 px uint8 images in memory; J5n: without the warp |
| J6 | crop with padding, flip, cutout, normalize of 32 px images in memory, batch 512; J6e: with a warp |

Each `by_*.py` does what one peer can do of them, in the way that its documentation teaches, with all threads
or workers that are allowed. A peer that cannot do a job is left out of it, not bent to it.
"""

if __name__ != "fieldloom.perf.peers":
    raise ImportError(
        "This folder is the package fieldloom.perf.peers: install the project (pip install -e .) "
        "and import fieldloom.perf.peers"
    )
