"""Files that hold a table: CSV, TSV, lines or an array of JSON objects, Parquet; read with pyarrow."""

import csv
import importlib
import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fieldloom.errors import ManifestError, MissingError, UnsafeError
from fieldloom.sources.manifest.cells import is_address

if TYPE_CHECKING:
    import pyarrow as pa

#: Bytes of a line of JSON, and of the first line of a CSV file.
MAX_LINE_BYTES = 1 << 24
#: Largest table that is held in memory, as the file states its size.
MAX_TABLE_BYTES = 8 << 30
_UTF8 = "Save it as UTF-8."


def read_table(path: str, text: Sequence[str], max_bytes: int = MAX_TABLE_BYTES) -> "pa.Table":
    """The table of a file.

    Args:
        path: A .csv, .tsv, .json, .jsonl or .parquet file.
        text: Names, in lower case, of columns that stay text whatever their values look like.
        max_bytes: Larger ones are refused before memory is taken for them.

    Raises:
        MissingError: There is no such file; UnsafeError: it is not a regular one.
        ManifestError: It cannot be read: says which row, where one is at fault.
    """
    _check_file(path)
    try:
        pa = importlib.import_module("pyarrow")
    except ImportError:
        raise ManifestError.make(
            "cannot read",
            why="manifests are read with pyarrow, which is not installed",
            remedy='Run: pip install "fieldloom[tables]"',
            file=path,
        ) from None
    suffix = os.path.splitext(path)[1].lower()
    try:
        if suffix == ".parquet":
            table = _read_parquet(path, max_bytes)
        elif suffix in (".json", ".jsonl"):
            table = _read_json(path, text)
        else:
            table = _read_delimited(path, "\t" if suffix == ".tsv" else ",", text)
        if suffix in (".parquet", ".json", ".jsonl"):  # neither checks that text is UTF-8, nor offsets
            table.validate(full=True)
    except (ManifestError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise _broken(
            path, f"it is not UTF-8 ({error.reason} at byte {error.start} of a text)", _UTF8
        ) from None
    except (pa.ArrowException, csv.Error, OSError, ValueError, TypeError, RecursionError) as error:
        first = str(error).strip().split("\n")[0] or type(error).__name__
        raise _broken(path, first.rstrip("."), "Repair it, or write it again.") from None
    repeated = [name for name, times in Counter(table.column_names).items() if times > 1]
    if repeated:
        raise _duplicate(path, repeated[0])
    if not table.num_rows or not table.num_columns:
        raise _broken(path, "it has no rows", "Pass one with a row for each image.")
    return table


def _check_file(path: str) -> None:
    if is_address(path):
        raise _broken(path, "it is not a file of this machine", "Copy it here; shards are read from afar.")
    try:
        status = os.stat(path)
    except OSError as error:
        raise MissingError.make("no such file", why=error.strerror or str(error), file=path) from None
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeError.make(
            "refused to read", why="it is not a regular file", remedy="Pass a file.", file=path
        )
    if not status.st_size:
        raise _broken(path, "the file is empty", "Pass one with a row for each image.")


def _broken(path: str, why: str, remedy: str) -> ManifestError:
    return ManifestError.make("cannot use the manifest", why=why, remedy=remedy, file=path)


def _duplicate(path: str, name: str) -> ManifestError:
    return _broken(path, f"two columns are called {name!r}", "Rename one.")


def _read_parquet(path: str, max_bytes: int) -> "pa.Table":
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=True) as file:
        metadata = file.metadata
        n_bytes = sum(metadata.row_group(g).total_byte_size for g in range(metadata.num_row_groups))
        names = file.schema_arrow.names
        if len(set(names)) < len(names):  # reading them would fail with a word of its own
            raise _duplicate(path, next(name for name in names if names.count(name) > 1))
        if n_bytes > max_bytes:
            raise _broken(
                path,
                f"it would take {n_bytes} bytes of memory, and the limit is {max_bytes}",
                "Keep paths instead of images in it, pack it (fieldloom pack), or raise max_table_bytes.",
            )
        return file.read()


def _read_delimited(path: str, delimiter: str, text: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow

    with open(path, "rb") as file:
        line = file.readline(MAX_LINE_BYTES)
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _broken(path, "it is UTF-16", _UTF8)
    header = line.decode("utf-8-sig").partition("\r")[0]  # lines may end in that alone
    if delimiter not in header:
        delimiter = next((other for other in ";\t" if other in header), delimiter)
    names = next(csv.reader([header], delimiter=delimiter), [])
    for name, times in Counter(names).items():
        if times > 1:
            raise _duplicate(path, name)
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "error"

    settings = {
        # Rows are numbered only if they are read in order.
        "read_options": arrow.ReadOptions(use_threads=False, block_size=MAX_LINE_BYTES),
        "parse_options": arrow.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
        ),
        "convert_options": arrow.ConvertOptions(
            column_types={name: pa.string() for name in names if name.lower() in text}
        ),
    }
    try:
        table = _parse(path, settings, ragged)
    except pa.ArrowInvalid:
        if not ragged:
            raise
        row = ragged[0]
        shown = row.text if len(row.text) <= 60 else row.text[:57] + "..."
        number = _ragged_line(path, delimiter, row)
        raise _broken(
            path,
            f"line {number} has {row.actual_columns} fields, the first has {row.expected_columns}: {shown!r}",
            "Mend the line; a field with the separator or a line break in it stands in quotes.",
        ) from None
    for name in table.column_names:  # what is not UTF-8 becomes bytes where nothing else was asked for
        if pa.types.is_binary(table.schema.field(name).type):
            raise _broken(path, f"column {name!r} is not UTF-8 in row {_not_utf8(table[name])}", _UTF8)
    unnamed = [name for name in table.column_names if not name.strip()]  # pandas' index
    return table.drop_columns(unnamed) if unnamed else table


def _parse(path: str, settings: dict[str, Any], ragged: list[Any]) -> "pa.Table":
    """A stream takes half of the memory; but it infers types from its beginning, which the rest may belie."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    try:
        with arrow.open_csv(path, **settings) as reader:
            return pa.Table.from_batches(list(reader), schema=reader.schema)
    except pa.ArrowInvalid:
        if ragged:
            raise
        return arrow.read_csv(path, **settings)


def _ragged_line(path: str, delimiter: str, row: Any) -> int:
    """Where a row of another length ends; pyarrow's number leaves out empty lines and lines within quotes."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        try:
            return next(rows.line_num for found in rows if found and len(found) != row.expected_columns)
        except (StopIteration, csv.Error):
            return row.number


def _not_utf8(column: "pa.ChunkedArray") -> int:
    for row, value in enumerate(column.to_pylist(), 1):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return row
    return 0


def _read_json(path: str, text: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import json as arrow

    with open(path, "rb") as file:
        start = file.read(MAX_LINE_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _broken(path, "it is UTF-16", _UTF8)
    if start.startswith(b"["):
        return _read_array(path)
    first, _ = json.JSONDecoder().raw_decode(start.decode("utf-8", "replace"))
    fields = [
        (name, pa.string())
        for name, value in (first if isinstance(first, dict) else {}).items()
        if name.lower() in text and isinstance(value, str)
    ]
    return arrow.read_json(
        path,
        read_options=arrow.ReadOptions(use_threads=False, block_size=MAX_LINE_BYTES),
        parse_options=arrow.ParseOptions(explicit_schema=pa.schema(fields)),
    )


def _read_array(path: str) -> "pa.Table":
    import pyarrow as pa

    with open(path, encoding="utf-8-sig") as file:
        rows = json.load(file)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _broken(
                path,
                f"entry {i} is a {type(row).__name__}, not an object",
                "Write one object for each image.",
            )
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, OverflowError) as error:
            raise _broken(path, f"column {name!r}: {error}", "Give all its values one type.") from None
    return pa.table(columns)
