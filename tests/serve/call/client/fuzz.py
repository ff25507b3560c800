"""Answers at random, cut and damaged at random: what must hold for all of them.

    python -m tests.serve.call.client.fuzz --minutes 60 [--seed 1]

`test_fuzz.py` has hypothesis play the same game for a second.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import uvloop

from equirouter.errors import UpstreamError
from equirouter.serve.call.client.parser import AnswerParser
from equirouter.serve.call.client.pool import HttpClient
from tests.serve.call.client.providers import asked, provider, request, upstream_of

_ODD = (b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b":", b";", b"0", b"f", b"\xbf", b",")
_FIRST_OWN = 0xC0  # from here on a byte belongs to one call
_LINES = (
    b"Content-Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"X-Any: y\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
)


def answer(rng: Random, body: bytes) -> bytes:
    """A whole answer with this body, in a form that HTTP allows; most keep the connection."""
    lines = rng.sample([b"Content-Type: application/json", b"X-Any:  a b ", b"X-any: c"], 2)
    version = b"HTTP/1.1"
    framing = rng.choice(["length", "chunks", "end", "old"])
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        lines.append(b"Transfer-Encoding: chunked")
    elif framing == "old":
        version = b"HTTP/1.0"
        lines += [b"Content-Length: %d" % len(body), b"Connection: keep-alive"]
    rng.shuffle(lines)
    before = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" if rng.random() < 0.2 else b""
    head = before + b"\r\n".join([version + b" 200 OK", *lines, b"", b""])
    if framing != "chunks":
        return head + body
    chunks = [b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces(rng, body)]
    trailer = b"X-Sum: 1\r\n" if rng.random() < 0.2 else b""
    return b"".join([head, *chunks, b"0\r\n", trailer, b"\r\n"])


def pieces(rng: Random, raw: bytes) -> list[bytes]:
    """The same bytes cut at random; none is empty."""
    cuts = sorted({rng.randint(0, len(raw)) for _ in range(rng.randint(0, 6))} | {0, len(raw)})
    return [raw[start:end] for start, end in pairwise(cuts)]


def damaged(rng: Random, raw: bytes) -> bytes:
    """The same bytes with a few put in, left out, doubled, changed, or cut off."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(raw))
        end = min(len(raw), start + rng.randint(0, 12))
        kind = rng.randint(0, 4)
        if kind == 0:
            raw = raw[:start] + rng.choice(_ODD) + raw[start:]
        elif kind == 1:
            raw = raw[:start] + raw[end:]
        elif kind == 2:
            raw = raw[:end] + raw[start:end] + raw[end:]
        elif kind == 3:
            raw = raw[:start] + rng.choice(_LINES) + raw[start:]
        else:
            raw = raw[:start] + bytes([rng.randrange(_FIRST_OWN)]) + raw[start + 1 :]
    return raw[: rng.randint(0, len(raw))] if rng.random() < 0.2 else raw


@dataclass
class Parsed:
    """What came of some bytes, and then the end of the connection."""

    status: int | None
    body: bytes
    outcome: str
    has_more: bool


def parsed(raw_pieces: list[bytes]) -> Parsed:
    """An answer that comes in these pieces."""
    parser, body, has_more, outcome = AnswerParser(), b"", False, "whole"
    try:
        for number, piece in enumerate(raw_pieces):
            body += parser.feed(piece)
            if parser.is_over:
                has_more = parser.has_more or number + 1 < len(raw_pieces)
                break
        else:
            parser.end()
    except UpstreamError as failed:
        outcome = failed.outcome
    return Parsed(None if parser.head is None else parser.head.status, body, outcome, has_more)


def check_cuts(rng: Random) -> None:
    """However an answer is cut, the same comes of it, be it whole or damaged."""
    body = rng.randbytes(rng.randint(0, 60))
    raw = answer(rng, body)
    is_whole = rng.random() < 0.5
    raw = raw if is_whole else damaged(rng, raw)
    at_once, in_pieces = parsed([raw]), parsed(pieces(rng, raw))
    if is_whole:
        assert at_once == Parsed(200, body, "whole", False)
    if at_once.outcome == "whole":
        assert in_pieces == at_once, (raw, at_once, in_pieces)
    else:  # pieces before the damage may have been passed on
        same = (in_pieces.status, in_pieces.outcome) == (at_once.status, at_once.outcome)
        assert same, (raw, at_once, in_pieces)


async def check_calls(rng: Random) -> dict[str, int]:
    """Calls at once and one after the other get their own answers or an error, and end in time.

    A provider answers whole or damaged, and then keeps or ends the connection. No byte of an
    answer goes to another call. Returns how many calls ended how.
    """
    ended: dict[str, int] = {}

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await request(reader)
            raw = answer(rng, body)
            is_whole = rng.random() < 0.6
            ends = b"Content-Length" not in raw and b"chunked" not in raw
            for piece in pieces(rng, raw if is_whole else damaged(rng, raw)):
                if writer.is_closing():
                    return
                writer.write(piece)
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            if ends or rng.random() < (0.2 if is_whole else 0.8):
                return

    async def caller(number: int) -> None:
        for turn in range(4):
            own = _FIRST_OWN + 4 * number + turn
            began, outcome = time.monotonic(), "whole"
            try:
                _, body = await asked(upstream, bytes([own]) * rng.randint(1, 30))
                assert {byte for byte in body if byte >= _FIRST_OWN} <= {own}, (own, body)
            except UpstreamError as failed:
                outcome = failed.outcome
            assert time.monotonic() - began < 10, "a call did not end"
            ended[outcome] = ended.get(outcome, 0) + 1

    async with provider(handler) as url, HttpClient() as client:
        upstream = upstream_of(client, url, total_seconds=0.1)
        await asyncio.gather(*(caller(number) for number in range(3)))
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description="Answers at random.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, begin, cuts, ended = Random(options.seed), time.monotonic(), 0, dict[str, int]()
    while time.monotonic() - begin < options.minutes * 60:
        for _ in range(500):
            check_cuts(rng)
            cuts += 1
        for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
            with asyncio.Runner(loop_factory=new_loop) as runner:
                for outcome, number in runner.run(check_calls(rng)).items():
                    ended[outcome] = ended.get(outcome, 0) + number
    minutes = (time.monotonic() - begin) / 60
    print(f"{minutes:.0f} minutes, seed {options.seed}: {cuts:,} answers cut, calls: {ended}")  # noqa: T201


if __name__ == "__main__":
    main()
