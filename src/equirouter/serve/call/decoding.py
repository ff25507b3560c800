"""A compressed answer, unpacked in pieces: a few bytes can stand for very many."""

import zlib

from equirouter.errors import UpstreamError

PIECE = 64 * 1024
"""Most bytes that are unpacked at once, which takes some 0.1 ms."""

_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Decoder:
    """Unpacks gzip and deflate. Raises UpstreamError for bytes that are neither."""

    def __init__(self) -> None:
        self._packed = b""
        self._has_more = False  # unpacked bytes that zlib still holds
        self._unpacker: zlib._Decompress | None = None

    def feed(self, packed: bytes) -> None:
        """Take further bytes; call piece until it has none before that."""
        self._packed += packed

    def piece(self) -> bytes:
        """The next bytes, at most PIECE of them; b"" where more must be fed."""
        while self._packed or self._has_more:
            unpacker = self._unpacker
            if unpacker is None:
                unpacker = self._unpacker = zlib.decompressobj(_window(self._packed))
            try:
                piece = unpacker.decompress(self._packed, PIECE)
            except zlib.error as error:
                raise UpstreamError("broken", f"a compressed answer is damaged: {error}") from error
            self._packed, self._has_more = unpacker.unconsumed_tail, len(piece) == PIECE
            if unpacker.eof:  # gzip may go on with another member
                self._packed, self._unpacker = unpacker.unused_data, None
                self._has_more = False
            if piece:
                return piece
        return b""

    def check_end(self) -> None:
        """Refuse an answer that ends in the middle."""
        if self._unpacker is not None:
            raise UpstreamError("broken", "a compressed answer ended early")


def decoder_of(coding: str) -> Decoder | None:
    """The decoder for a Content-Encoding, None for a body that is not compressed.

    Raises UpstreamError for one that was not asked for and cannot be read.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in _CODINGS:
        raise UpstreamError("broken", "an answer in a content coding that was not asked for")
    return Decoder()


def _window(packed: bytes) -> int:
    """The parameter of zlib for what begins so: gzip, zlib's form, or deflate alone."""
    if packed[0] == 0x1F:
        return 31
    return 15 if packed[0] & 0x0F == 8 and packed[0] >> 4 <= 7 else -15
