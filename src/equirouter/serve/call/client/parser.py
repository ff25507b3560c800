"""Bytes of a connection as one answer, however they are cut; nothing here waits or sends."""

import re

from equirouter.serve.call.client.answer_head import (
    FIELDS,
    LONGEST_HEAD,
    AnswerHead,
    broken,
    parse_head,
)

_BEGINNING = b"HTTP/1."
_SIZE = rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;[^\r\n\0]*+)?\r\n"
_FIRST, _NEXT = re.compile(_SIZE), re.compile(rb"\r\n" + _SIZE)
_TRAILERS = re.compile(FIELDS + rb"\r\n")
_LONGEST_SIZE = 1024
_LONGEST_TRAILERS = 16 * 1024


class AnswerParser:
    """One answer. head: None until all of it is there. is_over: nothing more belongs to it.

    has_begun: whether any byte came. has_more: bytes came behind its end, which nobody asked for.
    has_body: False for an answer to HEAD.
    """

    __slots__ = (
        "_chunks",
        "_has_body",
        "_head",
        "_left",
        "_room",
        "has_begun",
        "has_more",
        "head",
        "is_over",
    )

    def __init__(self, *, has_body: bool = True) -> None:
        self.head: AnswerHead | None = None
        self.is_over = False
        self.has_begun = False
        self.has_more = False
        self._has_body = has_body
        self._head = b""
        self._room = LONGEST_HEAD
        self._left: int | None = None  # of the body; None: until the connection ends
        self._chunks: _Chunks | None = None

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes before is_over; returns those of the body among them.

        Raises UpstreamError for what is not an answer.
        """
        if self.head is None:
            self.has_begun = True
            data = self._behind_head(data)
            if self.head is None:
                return b""
        if self._chunks is not None:
            piece = self._chunks.take(data)
            self.is_over, self.has_more = self._chunks.is_over, self._chunks.has_more
            return piece
        left = self._left
        if left is None:
            return data
        if len(data) > left:
            self.has_more, data = True, data[:left]
        self._left = left - len(data)
        self.is_over = self._left == 0
        return data

    def end(self) -> None:
        """The connection has ended. Raises UpstreamError where the answer has not."""
        head = self.head
        if head is None:
            raise broken("the connection ended before the answer")
        if not self.is_over and (head.is_chunked or head.length is not None):
            raise broken("the connection ended in the middle of the answer")
        self.is_over = True

    def _behind_head(self, data: bytes) -> bytes:
        """The bytes behind the head, once it is there. Those of status 100 to 199 are left out."""
        raw = self._head + data
        while (end := raw.find(b"\r\n\r\n", 0, self._room)) >= 0:
            head = parse_head(raw[: end + 2], has_body=self._has_body)
            raw = raw[end + 4 :]
            if head.status == 101:
                raise broken("the provider switched to another protocol")
            if head.status >= 200:
                self.head, self._head = head, b""
                self._left = head.length
                self._chunks = _Chunks() if head.is_chunked else None
                return raw
            self._room -= end + 4
        if not _BEGINNING.startswith(raw[: len(_BEGINNING)]):
            raise broken("the answer is not HTTP/1")
        if len(raw) >= self._room:
            raise broken(f"the head of the answer is longer than {LONGEST_HEAD} bytes")
        self._head = raw
        return b""


class _Chunks:
    """A body in chunks, up to the end of its trailers, which are dropped."""

    __slots__ = ("_held", "_left", "_line", "has_more", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.has_more = False
        self._held = b""  # the beginning of a line
        self._left = 0  # of a chunk
        self._line: re.Pattern[bytes] = _FIRST  # what comes behind that

    def take(self, data: bytes) -> bytes:
        """Take the next bytes; returns those of the body among them. Raises UpstreamError."""
        data, at, pieces = self._held + data, 0, []
        self._held = b""
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            match = self._line.match(data, at)
            if match is None:
                self._hold(data[at:])
                break
            at = match.end()
            if self._line is _TRAILERS:
                self.is_over, self.has_more = True, at < len(data)
                break
            size = int(match[1], 16)
            end = at + size
            if size and data[end : end + 2] == b"\r\n":  # all of the chunk is there
                pieces.append(data[at:end])
                at, self._line = end + 2, _FIRST
                continue
            self._left = size
            self._line = _NEXT if size else _TRAILERS
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, rest: bytes) -> None:
        """Keep what may become a line with more bytes. Raises UpstreamError for what cannot."""
        if self._line is _TRAILERS:
            is_odd = len(rest) > _LONGEST_TRAILERS or b"\r\n\r\n" in rest
        else:
            skip = 2 if self._line is _NEXT else 0
            is_odd = not b"\r\n".startswith(rest[:skip]) or b"\n" in rest[skip:]
            is_odd = is_odd or len(rest) > _LONGEST_SIZE
        if is_odd:
            raise broken("the chunks of the answer are not as HTTP says")
        self._held = rest
