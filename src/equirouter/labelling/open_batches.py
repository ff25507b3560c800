"""Batches of a collection that are with a provider: what was asked in them, and which money."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from equirouter.labelling.collection_store import Collection, KeptAnswer


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A question in a batch. call: its number in the collection's account of money."""

    call: int
    query_id: str
    reserved_nusd: int

    @property
    def custom_id(self) -> str:
        """Its name in the provider's files."""
        return f"call-{self.call}"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """Calls of one model that are sent together. began: Unix seconds.

    file_id, batch_id: the provider's names, None as long as there is none.
    """

    number: int
    upstream: str
    model: str
    began: float
    calls: tuple[BatchCall, ...]
    file_id: str | None = None
    batch_id: str | None = None

    @property
    def reserved_nusd(self) -> int:
        """The most that all of it may cost."""
        return sum(call.reserved_nusd for call in self.calls)


class OpenBatches:
    """The batches of a collection. Every change is on the disk when the method returns."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def all(self) -> list[OpenBatch]:
        """Those that are not over."""
        rows = self._collection.base.execute(
            "SELECT id, upstream, model, began, file_id, batch_id FROM batches WHERE is_over = 0 "
            "ORDER BY id"
        ).fetchall()
        return [
            OpenBatch(number, upstream, model, began, self._calls(number), file_id, batch_id)
            for number, upstream, model, began, file_id, batch_id in rows
        ]

    def _calls(self, number: int) -> tuple[BatchCall, ...]:
        rows = self._collection.base.execute(
            "SELECT calls.id, query_id, reserved_nusd FROM batch_calls "
            "JOIN calls ON calls.id = call WHERE batch = ? ORDER BY calls.id",
            (number,),
        )
        return tuple(BatchCall(*row) for row in rows)

    def enter(self, upstream: str, model: str, asked: Iterable[tuple[str, int]]) -> OpenBatch:
        """A batch before it is sent. asked: the name of each query, and the most its call costs."""
        base, began = self._collection.base, time.time()
        calls = []
        with self._collection.transaction():
            number = base.execute(
                "INSERT INTO batches (upstream, model, began) VALUES (?, ?, ?)",
                (upstream, model, began),
            ).lastrowid
            assert number is not None  # noqa: S101  # an insert has one
            for query_id, nusd in asked:
                call = base.execute(
                    "INSERT INTO calls (purpose, model, began, reserved_nusd) VALUES (?, ?, ?, ?)",
                    ("answer", model, began, nusd),
                ).lastrowid
                assert call is not None  # noqa: S101
                base.execute("INSERT INTO batch_calls VALUES (?, ?, ?)", (call, number, query_id))
                calls.append(BatchCall(call, query_id, nusd))
        return OpenBatch(number, upstream, model, began, tuple(calls))

    def named(
        self, batch: OpenBatch, *, file_id: str | None, batch_id: str | None = None
    ) -> OpenBatch:
        """The batch under the provider's names."""
        with self._collection.transaction():
            self._collection.base.execute(
                "UPDATE batches SET file_id = ?, batch_id = ? WHERE id = ?",
                (file_id, batch_id, batch.number),
            )
        return replace(batch, file_id=file_id, batch_id=batch_id)

    def close(self, batch: OpenBatch, ends: Sequence[tuple[int, KeptAnswer | None]]) -> None:
        """A batch is over: what each of its calls cost in nano-USD, and brought, in one step."""
        with self._collection.transaction():
            for call, (cost_nusd, kept) in zip(batch.calls, ends, strict=True):
                self._collection.base.execute(
                    "UPDATE calls SET cost_nusd = ? WHERE id = ?", (cost_nusd, call.call)
                )
                if kept is not None:
                    self._collection.insert("answers", kept)
            self._collection.base.execute(
                "UPDATE batches SET is_over = 1 WHERE id = ?", (batch.number,)
            )
