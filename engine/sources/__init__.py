"""Where samples come from: folders, lists of files, encoded bytes, and pixels in memory.

`open_source` turns whatever a user calls a data set into a `Source`: ids 0..n-1, a label each, and the
encoded file or the pixels of each by id. Labels are checked when a source is opened; files are checked
when they are read, one sample at a time.
"""

if __name__ != "fieldloom.sources":
    raise ImportError(
        "This folder is the package fieldloom.sources: install the project (pip install -e .) "
        "and import fieldloom.sources"
    )

from fieldloom.sources.arrays import ArraySource
from fieldloom.sources.base import Source
from fieldloom.sources.encoded import EncodedSource
from fieldloom.sources.files import MAX_FILE_BYTES, read_file
from fieldloom.sources.folder import IMAGE_EXTENSIONS, FolderSource
from fieldloom.sources.huggingface import HuggingFaceSource
from fieldloom.sources.listing import ListSource
from fieldloom.sources.manifest.source import ManifestSource
from fieldloom.sources.mapstyle import MapSource
from fieldloom.sources.opening import open_source
from fieldloom.sources.packed.packing import pack
from fieldloom.sources.packed.source import PackedSource
from fieldloom.sources.remote import RemoteFolderSource
from fieldloom.sources.sample import Sample
from fieldloom.sources.shards.source import ShardSource

__all__ = [
    "IMAGE_EXTENSIONS",
    "MAX_FILE_BYTES",
    "ArraySource",
    "EncodedSource",
    "FolderSource",
    "HuggingFaceSource",
    "ListSource",
    "ManifestSource",
    "MapSource",
    "PackedSource",
    "RemoteFolderSource",
    "Sample",
    "ShardSource",
    "Source",
    "open_source",
    "pack",
    "read_file",
]
