"""Check every byte of a packed data set, and say which samples are damaged."""

import os
from collections.abc import Callable

from fieldloom.errors import SampleError, ShardError
from fieldloom.sources.packed.packedfiles import PackedFiles, hashed
from fieldloom.sources.packed.packedformat import INDEX, REPACK, TARGETS, Meta, Record, damaged, data_name

#: Damaged samples that the error names.
SHOWN = 10


def verify(
    folder: str,
    meta: Meta,
    files: PackedFiles,
    check: Callable[[int, Record], None],
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Compare index, targets, samples and data files with their checksums.

    Args:
        folder: The data set.
        meta: Its fieldloom.json.
        files: Its files.
        check: Reads one sample; raises `SampleError` if it is damaged.
        on_progress: Is told how many samples are checked, and how many there are.

    Raises:
        ShardError: Something does not match; names the file, and the first damaged samples.
    """
    for name in (INDEX, TARGETS):
        expected = meta.files[name]
        hashed(files.opened(name, expected[0]), os.path.join(folder, name), expected)
    end, bad, n_bad = 0, [], 0
    for sample in range(meta.n):
        record = files.record(sample)
        # Samples that tile the data leave no byte that nothing checks.
        if record.offset != end:
            raise damaged(files.index_path, f"the sample begins at {record.offset}, not at {end}", sample)
        end += record.n_bytes
        try:
            check(sample, record)
        except SampleError as error:
            n_bad += 1
            if n_bad <= SHOWN:
                bad.append(f"{sample} ({error.why})")
        if on_progress is not None:
            on_progress(sample + 1, meta.n)
    if n_bad:
        more = f" and {n_bad - SHOWN} more" if n_bad > SHOWN else ""
        raise ShardError.make(
            "the packed data set is damaged",
            why=f"{n_bad} of {meta.n} samples do not match their checksums: {', '.join(bad)}{more}",
            remedy=REPACK,
            file=folder,
        )
    total = sum(n_bytes for n_bytes, _ in meta.data)
    if end != total:
        raise damaged(files.index_path, f"its samples have {end} bytes, the data files {total}")
    for k, expected in enumerate(meta.data):
        hashed(files.opened(data_name(k), expected[0]), files.data_path(k), expected)
