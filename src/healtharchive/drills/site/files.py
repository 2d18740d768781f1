"""The binary files of the bundled site, made from nothing: a PNG image and a PDF document."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

Rgb = tuple[int, int, int]


def png(width: int, height: int, colour: Callable[[int, int], Rgb]) -> bytes:
    """An image of `width` by `height` pixels (PNG, 8 bits a channel); `colour` gives each pixel by column and row."""
    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in colour(x, y)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def bars(values: Sequence[int], *, height: int = 120) -> bytes:
    """A bar chart as PNG: one bar a value, the tallest as high as the image."""
    tallest, bar, gap = max(values), 32, 12

    def colour(x: int, y: int) -> Rgb:
        column, within = divmod(x, bar + gap)
        inside = within >= gap and (height - y) * tallest <= values[min(column, len(values) - 1)] * height
        return (11, 83, 148) if inside else (251, 250, 246)

    return png(len(values) * (bar + gap) + gap, height, colour)


def pdf(title: str, lines: Sequence[str]) -> bytes:
    """A document of one page (PDF 1.4): Helvetica in WinAnsi encoding, which has every letter of French."""

    def text(value: str) -> bytes:
        raw = value.replace("’", "'").encode("cp1252", "replace")
        return b"(" + raw.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)") + b")"

    shown = b"".join(b"0 -18 Td " + text(line) + b" Tj\n" for line in lines)
    stream = b"BT /F1 18 Tf 72 760 Td " + text(title) + b" Tj /F1 12 Tf\n" + shown + b"ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 4 0 R >> >> /Contents 5 0 R >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Title " + text(title) + b" >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, entries)
    out += b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
