"""The head of an answer: its status, its headers, and how its body is framed.

As strict as RFC 9112 allows, for an answer that two parties read differently mixes up requests:
lines end in CRLF and are not folded, there is one length or one transfer coding.
"""

import re
from dataclasses import dataclass

from equirouter.errors import UpstreamError

LONGEST_HEAD = 64 * 1024
"""Most bytes of a head, with those of status 100 to 199 before it."""
_MOST_FIELDS = 256
FIELDS = rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\r\n\0]*+\r\n)*"
"""Lines of a head or of trailers, as a regular expression: no name and no value of it is odd."""
_HEAD = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: [^\r\n\0]*+)?\r\n(" + FIELDS + rb")")
_FIELD = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")
_DIGITS = re.compile(r"[0-9]{1,15}")


@dataclass(slots=True)
class AnswerHead:
    """headers: names in lower case; what comes twice is joined by ", ".

    length: bytes of the body, None where they are not known before its end. is_chunked: whether
    chunks say where it ends; else the end of the connection does. is_kept: whether the connection
    can be used again.
    """

    status: int
    headers: dict[str, str]
    length: int | None
    is_chunked: bool
    is_kept: bool


def parse_head(raw: bytes, *, has_body: bool) -> AnswerHead:
    """A head up to the CRLF of its last line. has_body: False for an answer to HEAD.

    Raises UpstreamError for one that is not HTTP/1 or that can be read in two ways.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise broken("the head of the answer is not HTTP/1.1")
    status = int(match[2])
    fields = _FIELD.findall(match[3].decode("utf-8", "replace"))
    if len(fields) > _MOST_FIELDS:
        raise broken(f"the answer has more than {_MOST_FIELDS} headers")
    headers = {name.lower(): value.rstrip(" \t") for name, value in fields}
    if len(headers) != len(fields):
        headers = _joined(fields)
    is_chunked, length = _framing(headers)
    if not has_body or status < 200 or status in (204, 304):
        is_chunked, length = False, 0
    options = headers.get("connection", "").lower()
    named = {option.strip() for option in options.split(",")} if options else ()
    is_kept = "close" not in named and (length is not None or is_chunked)
    if match[1] == b"0":
        is_kept = is_kept and "keep-alive" in named and not is_chunked
    return AnswerHead(status, headers, length, is_chunked, is_kept)


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        before = f"{headers[key]}, " if key in headers else ""
        headers[key] = before + value.rstrip(" \t")
    return headers


def _framing(headers: dict[str, str]) -> tuple[bool, int | None]:
    """Whether the body is in chunks, else how long it is. Raises UpstreamError."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise broken("the answer has a length and a transfer coding")
        if coding.lower() != "chunked":
            raise broken("the answer has a transfer coding that was not asked for")
        return True, None
    if length is None:
        return False, None
    if not _DIGITS.fullmatch(length):
        raise broken("the length of the answer is not one number")
    return False, int(length)


def broken(why: str) -> UpstreamError:
    """A call that the provider may charge for, though its answer cannot be read."""
    return UpstreamError("broken", why, may_cost=True)
