"""Users' feedback on answers: a score, a thumb or an edit, by the id of the request."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from equirouter.errors import GatewayError, StoreGoneError
from equirouter.serve.money.store.log_columns import clean
from equirouter.serve.money.store.schema import feedback, inserting, log, texts
from equirouter.serve.money.store.store import Store
from equirouter.serve.records import Key, UserFeedback
from equirouter.serve.refusals import store_unreachable

_THUMBS = {"up": 1.0, "down": 0.0}
_KINDS = ("score", "thumbs", "edited")
_FIELDS = ("request_id", *_KINDS, "comment")
_LONGEST_COMMENT = 4000
_LONGEST_EDIT = 100_000
_MOST_WORDS = 20_000  # compared within 0.1 s
_WAITS = (0.0, 0.1, 0.2)  # another worker may have served the request and not yet logged it


def read_feedback(document: object) -> UserFeedback:
    """Read a client's JSON: {"request_id", "score", "thumbs" or "edited", "comment"}.

    Raises GatewayError 400 that names the field.
    """
    if not isinstance(document, dict):
        raise _wrong("", "a JSON object with request_id, and score, thumbs or edited")
    unknown = [name for name in document if name not in _FIELDS]
    if unknown:
        raise _wrong(str(unknown[0]), f"nothing but {', '.join(_FIELDS)}")
    request_id = document.get("request_id")
    if not isinstance(request_id, str) or not request_id:
        raise _wrong("request_id", "the value of the header x-equirouter-request-id")
    comment = document.get("comment")
    if comment is not None and not (isinstance(comment, str) and len(comment) <= _LONGEST_COMMENT):
        raise _wrong("comment", f"a text of at most {_LONGEST_COMMENT} characters")
    given = [name for name in _KINDS if document.get(name) is not None]
    if len(given) != 1:
        raise _wrong("score", "one of score, a number from 0 to 1, thumbs, and edited")
    value = document[given[0]]
    if given == ["thumbs"]:
        if not (isinstance(value, str) and value in _THUMBS):
            raise _wrong("thumbs", '"up" or "down"')
        return UserFeedback(request_id, _THUMBS[value], comment, "thumbs")
    if given == ["edited"]:
        if not (isinstance(value, str) and len(value) <= _LONGEST_EDIT):
            raise _wrong("edited", f"a text of at most {_LONGEST_EDIT} characters")
        return UserFeedback(request_id, 0.0, comment, "edit", value)
    return UserFeedback(request_id, _score(value), comment)


def _score(score: object) -> float:
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise _wrong("score", "a number from 0 to 1")
    return float(score)


def _wrong(field: str, expected: str) -> GatewayError:
    return GatewayError(400, f"{field or 'the body'}: expected {expected}", param=field or None)


class Feedback:
    """Keeps feedback in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def give(self, key: Key | None, feedback: UserFeedback) -> str:
        """Keep feedback, in place of earlier feedback; returns the model that had answered.

        Raises GatewayError: 404 for a request that is not in the log, or of another key, unless an
        administrator asks; 409 for one that no model answered; 503 when the store cannot be asked.
        """
        try:
            for wait in _WAITS:
                await asyncio.sleep(wait)
                await self._store.writer.flush()
                values = await self._store.database.read(_read, key, feedback)
                if values is not None:
                    break
            if values is not None and values["model"] is not None:
                await self._store.database.write(_keep, values)
        except StoreGoneError as error:
            raise store_unreachable() from error
        if values is None:
            raise GatewayError(
                404,
                f"no request {feedback.request_id!r} of this key is in the log",
                code="request_not_found",
                param="request_id",
            )
        if values["model"] is None:
            raise GatewayError(
                409, "no model answered this request", code="not_answered", param="request_id"
            )
        return str(values["model"])


def _read(connection: sa.Connection, key: Key | None, given: UserFeedback) -> dict[str, Any] | None:
    """The row to keep, its model None where none answered; None for no such request.

    Nobody waits for the lock meanwhile: an edit is compared here.
    """
    row = connection.execute(
        sa.select(log.c.at_us, log.c.key_id, log.c.served_model).where(
            log.c.request_id == clean(given.request_id)
        )
    ).first()
    if row is None or not (key is None or key.is_admin or row.key_id == key.id):
        return None
    score = given.score
    if row.served_model is not None and given.edited is not None:
        score = _likeness(connection, given)
    return {
        "request_id": given.request_id,
        "at_us": row.at_us,
        "given_at_us": round(time.time() * 1e6),
        "key_id": row.key_id,
        "model": row.served_model,
        "score": score,
        "comment": clean(given.comment),
        "source": given.source,
    }


def _keep(connection: sa.Connection, values: dict[str, Any]) -> None:
    insert = inserting(connection.dialect.name)
    written = insert(feedback).values(values)
    names = ("given_at_us", "score", "comment", "source")
    connection.execute(
        written.on_conflict_do_update(
            index_elements=["request_id"], set_={name: written.excluded[name] for name in names}
        )
    )


def _likeness(connection: sa.Connection, given: UserFeedback) -> float:
    """The share of words, from 0 to 1, that an edit left as they were.

    Raises GatewayError 409 where the answer was not logged.
    """
    wanted = sa.select(texts.c.answer).where(texts.c.request_id == clean(given.request_id))
    answer = connection.execute(wanted).scalar()
    if answer is None:
        raise GatewayError(
            409,
            "the answer was logged without its text, so it cannot be compared with the edited one: "
            "set log.log_texts = true",
            code="no_text",
            param="edited",
        )
    before, after = answer.split()[:_MOST_WORDS], (given.edited or "").split()[:_MOST_WORDS]
    return kept_share(before, after)


def kept_share(before: Sequence[str], after: Sequence[str]) -> float:
    """Twice the longest common subsequence over the words of both, 0 to 1; 1 where there are none.

    By bits, a word of `before` each (Hyyrö 2004): texts of any words take time with the product of
    their lengths, over 64. difflib may take a minute for 2,000 words.
    """
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(before):
        places[word] |= 1 << place
    whole = (1 << len(before)) - 1
    row = whole
    for word in after:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & whole
    n_words = len(before) + len(after)
    return 2 * (len(before) - row.bit_count()) / n_words if n_words else 1.0
