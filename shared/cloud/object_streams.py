"""Content on its way: compressed, decompressed, summed up and handed on piece by piece, so that memory stays flat. Pure.

Each stretch of an object becomes one gzip member or one Zstandard frame. In both formats several of them in a row are a file again:
RFC 1952, section 2.2 (https://www.rfc-editor.org/rfc/rfc1952#section-2.2) and RFC 8878, section 3 (https://www.rfc-editor.org/rfc/rfc8878#section-3).
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from shared.ports import Compression

PIECE = 1024 * 1024
"""Bytes in memory at a time."""
_GZIP = 16 + zlib.MAX_WBITS  # a gzip member around what is deflated: https://docs.python.org/3/library/zlib.html#zlib.compressobj
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_SLICE = 512
"""Bytes of Zstandard that are decompressed at a time: at most 16 MiB come of them, since four may stand for 128 KiB (RFC 8878, section 3.1.1.2)."""


class Damaged(Exception):
    """What was to be decompressed is not what it should be."""


class Source(Protocol):
    """What content is read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Sum:
    """What is known of content that has gone by.

    Attributes:
        size: How many bytes.
        crc32c: Their CRC32C.
    """

    size: int = 0
    crc32c: int = 0

    def plus(self, piece: bytes) -> Sum:
        """With another piece."""
        import google_crc32c

        return Sum(self.size + len(piece), google_crc32c.extend(self.crc32c, piece))

    @property
    def text(self) -> str:
        """The CRC32C as Cloud Storage writes it: https://docs.cloud.google.com/storage/docs/data-validation."""
        return base64.b64encode(self.crc32c.to_bytes(4, "big")).decode()


class Upload:
    """Pieces as the file that Google's client uploads: it reads chunk by chunk, and asks how far it is.

    Attributes:
        sum: What was read.
    """

    def __init__(self, content: Iterator[bytes]) -> None:
        """Nothing is taken yet."""
        self.sum = Sum()
        self._content = content
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        """The next bytes; fewer than asked for at the end alone."""
        while len(self._held) < size and (piece := next(self._content, b"")):
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        self.sum = self.sum.plus(taken)
        return taken

    def tell(self) -> int:
        """How many bytes were read."""
        return self.sum.size


def nothing() -> Generator[bytes]:
    """No content at all."""
    yield from ()


def pieces(source: Source) -> Iterator[bytes]:
    """The content as it is, piece by piece."""
    while piece := source.read(PIECE):
        yield piece


def compressed(content: Iterable[bytes], into: Compression) -> Iterator[bytes]:
    """One gzip member or one frame; no piece of it is empty."""
    if into == "gzip":
        press: Any = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    else:
        press = _zstandard().ZstdCompressor(_ZSTD_LEVEL, write_checksum=True).compressobj()
    for piece in content:
        if out := press.compress(piece):
            yield out
    yield press.flush()


def decompressed(source: Source, into: Compression) -> Iterator[bytes]:
    """What members or frames hold, however much larger than themselves that is.

    Raises:
        Damaged: It is no such member or frame, or is cut off.
    """
    return _gunzipped(source) if into == "gzip" else _unpacked(source)


def _gunzipped(source: Any) -> Iterator[bytes]:
    try:
        yield from pieces(gzip.GzipFile(fileobj=source, mode="rb"))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Damaged(str(error)) from error


def _unpacked(source: Source) -> Iterator[bytes]:
    # The library's own readers do not tell whether the last frame is whole.
    library = _zstandard()
    frame = None
    try:
        for piece in pieces(source):
            for start in range(0, len(piece), _SLICE):
                rest = piece[start : start + _SLICE]
                while rest:
                    frame = frame or library.ZstdDecompressor().decompressobj()
                    if out := frame.decompress(rest):
                        yield out
                    rest, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except library.ZstdError as error:
        raise Damaged(str(error)) from error
    if frame:
        raise Damaged("it ends within a frame")


def _zstandard() -> Any:
    import zstandard  # a megabyte that only this needs

    return zstandard
