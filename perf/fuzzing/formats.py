"""Ways to damage what each format means: the file stays well formed around one thing that is wrong."""

import struct
import zlib

import numpy as np

from .mutations import Mutation, border

# ---------------------------------------------------------------- JPEG


def jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, start and end of each segment of a sound JPEG's header."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], at, end))
        if data[at + 1] == 0xDA:
            break
        at = end
    return found


def jpeg_length(rng: np.random.Generator, data: bytes) -> bytes:
    """A segment says another length."""
    _, start, end = _choice(rng, jpeg_segments(data))
    wrong = (border(rng, 2), max(0, end - start - 2 + int(rng.integers(-4, 5))))[int(rng.integers(2))]
    return data[: start + 2] + wrong.to_bytes(2, "big") + data[start + 4 :]


def jpeg_frame(rng: np.random.Generator, data: bytes) -> bytes:
    """The frame header: kind of coding, precision, size, components, sampling, tables."""
    frames = [s for s in jpeg_segments(data) if 0xC0 <= s[0] <= 0xCF and s[0] not in (0xC4, 0xC8, 0xCC)]
    _, start, end = _choice(rng, frames)
    out = bytearray(data)
    if rng.random() < 0.2:
        out[start + 1] = 0xC0 + int(rng.integers(16))
        return bytes(out)
    at = start + 4 + int(rng.integers(end - start - 4))
    out[at] = int(rng.integers(256)) if rng.random() < 0.5 else border(rng, 1)
    return bytes(out)


def jpeg_content(rng: np.random.Generator, data: bytes) -> bytes:
    """One to four bytes of tables (Huffman, quantization), scan header or metadata."""
    _, start, end = _choice(rng, jpeg_segments(data))
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        out[start + 4 + int(rng.integers(max(1, end - start - 4)))] = int(rng.integers(256))
    return bytes(out)


def jpeg_order(rng: np.random.Generator, data: bytes) -> bytes:
    """A segment is gone, comes twice, or comes elsewhere."""
    segments = jpeg_segments(data)
    (_, start, end), (_, to, _) = _choice(rng, segments), _choice(rng, segments)
    segment, how = data[start:end], int(rng.integers(3))
    if how == 0:
        return data[:start] + data[end:]
    return data[:to] + segment + data[to:] if how == 1 else data[:end] + segment + data[end:]


def jpeg_markers(rng: np.random.Generator, data: bytes) -> bytes:
    """Markers where compressed data are."""
    body = jpeg_segments(data)[-1][2]
    at = int(rng.integers(body, len(data)))
    return data[:at] + bytes((0xFF, int(rng.integers(0xC0, 0x100)))) + data[at + 2 * int(rng.integers(2)) :]


def exif(rng: np.random.Generator, data: bytes) -> bytes:
    """One to four bytes of a block of EXIF, wherever the format keeps it; else of the first 100."""
    start = max(data.find(b"Exif\0\0"), data.find(b"eXIf"), data.find(b"EXIF"))
    start, size = (start + 6, 90) if start >= 0 else (2, 98)
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = min(start + int(rng.integers(size)), len(out) - 1)
        out[at] = int(rng.integers(256)) if rng.random() < 0.5 else border(rng, 1)
    return bytes(out)


# ---------------------------------------------------------------- PNG


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Type and content of each chunk of a sound PNG."""
    found, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def join_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks, with their checksums."""
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_header(rng: np.random.Generator, data: bytes) -> bytes:
    """IHDR with a right checksum: size, depth, color type, compression, filter, interlacing."""
    chunks = png_chunks(data)
    header = bytearray(chunks[0][1])
    for _ in range(int(rng.integers(1, 3))):
        header[int(rng.integers(13))] = (
            int(rng.integers(256)) if rng.random() < 0.3 else int(rng.integers(17))
        )
    return join_png([(b"IHDR", bytes(header)), *chunks[1:]])


def png_length(rng: np.random.Generator, data: bytes) -> bytes:
    """A chunk says another length."""
    at = 8
    starts = [at := at + (0 if k == 0 else 12 + len(c)) for k, c in enumerate(_previous(png_chunks(data)))]
    start = starts[int(rng.integers(len(starts)))]
    return data[:start] + border(rng, 4).to_bytes(4, "big") + data[start + 4 :]


def png_content(rng: np.random.Generator, data: bytes) -> bytes:
    """Some bytes of a chunk, with a right checksum, so that decoders do not stop at it."""
    chunks = png_chunks(data)
    which = int(rng.integers(len(chunks)))
    content = bytearray(chunks[which][1] or b"\0")
    for at in rng.integers(0, len(content), int(rng.integers(1, 6))):
        content[at] = int(rng.integers(256))
    chunks[which] = chunks[which][0], bytes(content)
    return join_png(chunks)


def png_pixels(rng: np.random.Generator, data: bytes) -> bytes:
    """Pixels, filters or their number, compressed anew: a sound stream of the wrong thing."""
    chunks = png_chunks(data)
    raw = bytearray(zlib.decompress(b"".join(c for kind, c in chunks if kind == b"IDAT")))
    for at in rng.integers(0, len(raw), int(rng.integers(1, 9))):
        raw[at] = int(rng.integers(256))
    changed = bytes(raw[: int(rng.integers(1, len(raw) + 1))]) if rng.random() < 0.5 else bytes(raw)
    where = [kind for kind, _ in chunks].index(b"IDAT")
    others = [(kind, content) for kind, content in chunks if kind != b"IDAT"]
    return join_png([*others[:where], (b"IDAT", zlib.compress(changed)), *others[where:]])


def png_order(rng: np.random.Generator, data: bytes) -> bytes:
    """A chunk is gone, comes twice, comes elsewhere, or has another type."""
    chunks = png_chunks(data)
    which, to, how = int(rng.integers(len(chunks))), int(rng.integers(len(chunks))), int(rng.integers(4))
    if how == 0:
        del chunks[which]
    elif how == 1:
        chunks.insert(to, chunks[which])
    elif how == 2:
        chunks[which], chunks[to] = chunks[to], chunks[which]
    else:
        kinds = (b"IDAT", b"PLTE", b"tRNS", b"IEND", b"acTL", b"fcTL", b"iCCP", b"gAMA", b"eXIf")
        chunks[which] = kinds[int(rng.integers(len(kinds)))], chunks[which][1]
    return join_png(chunks)


def _previous(chunks: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"", *(content for _, content in chunks[:-1])]


# ---------------------------------------------------------------- WebP


def riff_chunks(data: bytes) -> list[tuple[int, int]]:
    """Start and size of each chunk of a sound RIFF file."""
    found, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((at, size))
        at += 8 + size + size % 2
    return found


def webp_length(rng: np.random.Generator, data: bytes) -> bytes:
    """The file, or a chunk of it, says another length."""
    starts = [0, *(start for start, _ in riff_chunks(data))]
    at = starts[int(rng.integers(len(starts)))] + 4
    real = int.from_bytes(data[at : at + 4], "little")
    wrong = (border(rng, 4), max(0, real + int(rng.integers(-9, 10))))[int(rng.integers(2))]
    return data[:at] + wrong.to_bytes(4, "little") + data[at + 4 :]


def webp_content(rng: np.random.Generator, data: bytes) -> bytes:
    """The first 16 bytes of a chunk: flags, sizes, partitions; or its type."""
    start, size = _choice(rng, riff_chunks(data))
    out = bytearray(data)
    if rng.random() < 0.2:
        kinds = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF")
        out[start : start + 4] = kinds[int(rng.integers(len(kinds)))]
        return bytes(out)
    for _ in range(int(rng.integers(1, 4))):
        out[min(start + 8 + int(rng.integers(min(16, max(1, size)))), len(out) - 1)] = int(rng.integers(256))
    return bytes(out)


def webp_order(rng: np.random.Generator, data: bytes) -> bytes:
    """A chunk is gone, or comes twice, elsewhere; the file's length is right."""
    chunks = [data[start : start + 8 + size + size % 2] for start, size in riff_chunks(data)]
    which = int(rng.integers(len(chunks)))
    if rng.random() < 0.4:
        del chunks[which]
    else:
        chunks.insert(int(rng.integers(len(chunks) + 1)), chunks[which])
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


# ---------------------------------------------------------------- tar


def tar_headers(data: bytes) -> list[int]:
    """Offsets of the member headers of a sound tar."""
    found, at = [], 0
    while at + 512 <= len(data) and data[at]:
        found.append(at)
        size = int(data[at + 124 : at + 135].strip(b"\0 ") or b"0", 8)
        at += 512 + -(-size // 512) * 512
    return found


def _sealed(header: bytearray) -> bytes:
    """The header with a right checksum."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar_field(rng: np.random.Generator, data: bytes) -> bytes:
    """A field of a member's header is wrong, its checksum right."""
    at = tar_headers(data)[int(rng.integers(len(tar_headers(data))))]
    header = bytearray(data[at : at + 512])
    values = {
        (0, 100): (b"../x.jpg", b"/etc/x.jpg", b"", b"a\0b.jpg", b"\xff\xfe.jpg", b"0001.jpg", b"a\nb.jpg",
                   b"x" * 100),
        (124, 12): (b"77777777777", b"-1", b"x", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"00000000001", b"",
                    b"0" * 11),
        (156, 1): tuple(bytes((kind,)) for kind in b"\x000123456789xgLKSDVN"),
        (257, 8): (b"ustar\x0000", b"ustar  \0", bytes(8), b"garbage!"),
        (345, 155): (b"../..", b"/", b"p" * 155, b"\xff" * 20),
    }  # fmt: skip
    fields = list(values)
    start, size = fields[int(rng.integers(len(fields)))]
    choices = values[start, size]
    header[start : start + size] = choices[int(rng.integers(len(choices)))].ljust(size, b"\0")[:size]
    return data[:at] + _sealed(header) + data[at + 512 :]


def tar_blocks(rng: np.random.Generator, data: bytes) -> bytes:
    """Blocks of 512 bytes are zero, gone, twice, or the tar ends at a border."""
    n = len(data) // 512
    at, how = int(rng.integers(n)) * 512, int(rng.integers(4))
    if how == 0:
        return data[:at] + bytes(512) + data[at + 512 :]
    if how == 1:
        return data[:at] + data[at + 512 :]
    return data[: at + 512] + data[at : at + 512] + data[at + 512 :] if how == 2 else data[:at]


def _choice(rng: np.random.Generator, items: list) -> tuple:
    return items[int(rng.integers(len(items)))]


OWN: dict[str, dict[str, Mutation]] = {
    "jpeg": {
        "segment length": jpeg_length, "frame header": jpeg_frame, "segment content": jpeg_content,
        "segment order": jpeg_order, "markers in the scan": jpeg_markers, "exif": exif,
    },
    "png": {
        "IHDR": png_header, "chunk length": png_length, "chunk content": png_content,
        "chunk order": png_order, "pixel stream": png_pixels, "exif": exif,
    },
    "webp": {
        "chunk length": webp_length, "chunk content": webp_content, "chunk order": webp_order, "exif": exif,
    },
    "tar": {"header field": tar_field, "blocks": tar_blocks},
}  # fmt: skip
