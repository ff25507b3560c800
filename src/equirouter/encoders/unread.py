"""Texts in a language, or a script, that the encoder cannot read."""

from collections.abc import Sequence

from equirouter.encoders.base import Encoder

MANY_UNKNOWN = 0.2
"""Share of a text's tokens from which it counts as not read."""

WARN_FROM = 0.01
"""Share of the texts from which a user is warned."""

_HEAD = 1000
_FOREIGN = 0.1


def unread_texts(encoder: Encoder, texts: Sequence[str]) -> list[int]:
    """Positions of the texts of which the encoder does not know a fifth of the tokens or more.

    The first 1,000 characters of a text are looked at, and only where a tenth of them or more is
    not ASCII: plain ASCII has no unknown tokens. [] for an encoder that cannot tell.
    """
    unread = []
    for i, text in enumerate(texts):
        if text.isascii():
            continue
        head = text[:_HEAD]
        if len(head) - len(head.encode("ascii", "ignore")) < _FOREIGN * len(head):
            continue
        share = encoder.unknown_share(head)
        if share is None:
            break
        if share >= MANY_UNKNOWN:
            unread.append(i)
    return unread


def unread_warning(
    encoder: Encoder, texts: Sequence[str], query_ids: Sequence[str]
) -> tuple[str, ...]:
    """A warning where one text in a hundred or more is not read; else ()."""
    unread = unread_texts(encoder, texts)
    if not unread or len(unread) < WARN_FROM * len(texts):
        return ()
    return (
        f"of {len(unread)} of {len(texts)} queries (the first is {query_ids[unread[0]]!r}) the "
        f"encoder {encoder.name} does not know a fifth of the tokens or more: it was not made for "
        "their language, and a router cannot tell them apart; choose an encoder that reads it "
        "(--encoder sentence-transformers --encoder-option model=NAME, or openai)",
    )
