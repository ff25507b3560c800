"""The questions that a run of collect has: those that lack their answer."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from equirouter.data.query_table import AskedQuery
from equirouter.labelling.batching import batch_price_factor
from equirouter.labelling.collection_store import Collection, KeptAnswer
from equirouter.labelling.estimate import CostEstimate, Lengths, ModelEstimate, estimated
from equirouter.labelling.open_batches import OpenBatches
from equirouter.labelling.pool_calls import Asker, Question
from equirouter.labelling.purse import CollectionPurse
from equirouter.serve.charging import cost_nusd
from equirouter.serve.records import Tokens, nusd, usd


def waiting_in_batches(collection: Collection) -> set[tuple[str, str]]:
    """(query_id, model) of the calls in batches that are not over."""
    open_batches = OpenBatches(collection).all()
    return {(call.query_id, batch.model) for batch in open_batches for call in batch.calls}


class WorkLeft:
    """The questions that are left, query by query, so that what is paid for makes whole rows.

    First come those on which two models of the log disagreed.

    in_batches: whether those are asked in batches whose providers have them.
    """

    def __init__(
        self,
        collection: Collection,
        asker: Asker,
        purse: CollectionPurse,
        asked: Sequence[AskedQuery],
        models: Sequence[str],
        *,
        in_batches: bool,
    ) -> None:
        self.factors = {
            model: batch_price_factor(asker.settings, model) if in_batches else None
            for model in models
        }
        self.collection, self.asker, self.purse, self.models = collection, asker, purse, models
        # where cheap models disagree an answer teaches most; else in the order of the table
        self._asked = sorted(asked, key=lambda query: query.disagreed != 1)
        there = [answer for answer in collection.answers() if answer.is_answer]
        self._logged = self._logged_answers({(answer.query_id, answer.model) for answer in there})
        there += self._logged
        self._measured: dict[str, list[int]] = {}
        for answer in there:
            if answer.output_tokens is not None:
                self._measured.setdefault(answer.model, []).append(answer.output_tokens)
        answered = {(answer.query_id, answer.model) for answer in there}
        taken = answered | waiting_in_batches(collection)
        self.questions: dict[str, dict[str, Question]] = {model: {} for model in models}
        for query in asked:
            body = query.body()
            for model in models:
                if (query.query_id, model) not in taken:
                    place = f"query {query.query_id!r}"
                    self.questions[model][query.query_id] = asker.question(model, body, place)
        self._there = sum(
            (query.query_id, model) in answered for query in asked for model in models
        )

    def _logged_answers(self, known: AbstractSet[tuple[str, str]]) -> list[KeptAnswer]:
        """Answers of the log are answers of the models of the pool that have the same name."""
        answers = []
        for query in self._asked:
            model = query.model
            if model is None or query.answer is None or model not in self.models:
                continue
            paid = self._logged_nusd(query, model)
            if paid is not None and (query.query_id, model) not in known:
                answers.append(_logged(query, model, paid))
        return answers

    def _logged_nusd(self, query: AskedQuery, model: str) -> int | None:
        """The cost of an answer of the log: as it says, else its tokens at the model's price."""
        if query.cost_usd is not None:
            return nusd(query.cost_usd)
        if query.input_tokens is None or query.output_tokens is None:
            return None
        price = self.asker.pool.routes[model].price
        return cost_nusd(price, Tokens(query.input_tokens, query.output_tokens))

    def estimate(self) -> CostEstimate:
        """The cost of the questions."""
        lengths = Lengths(
            {query.query_id: (query.input_tokens, query.output_tokens) for query in self._asked},
            self._measured,
        )
        rows: list[ModelEstimate] = [
            estimated(self.asker, model, self.questions[model], lengths, self.factors[model])
            for model in self.models
        ]
        return CostEstimate(tuple(rows), self._there, usd(self.collection.spent_nusd()))

    def keep_known(self) -> None:
        """A row for each answer of the log, and for each question that its model cannot take."""
        for logged in self._logged:
            self.collection.keep(logged)
        for model, questions in self.questions.items():
            for query_id, question in questions.items():
                if question.impossible is not None:
                    self.collection.keep(
                        KeptAnswer(query_id, model, "impossible", error=question.impossible)
                    )

    def possible(self) -> dict[str, list[tuple[str, Question]]]:
        """Upstream -> the questions for its models that are not asked in batches, by query."""
        by_upstream: dict[str, list[tuple[str, Question]]] = {}
        for query in self._asked:
            for model in self.models:
                question = self.questions[model].get(query.query_id)
                is_direct = self.factors[model] is None
                if is_direct and question is not None and question.impossible is None:
                    upstream = self.asker.pool.routes[model].upstream_name
                    by_upstream.setdefault(upstream, []).append((query.query_id, question))
        return by_upstream

    def in_batches(self) -> list[tuple[str, list[Question]]]:
        """The questions that are asked in batches, by query."""
        return [
            (
                query.query_id,
                [
                    question
                    for model in self.models
                    if self.factors[model] is not None
                    and (question := self.questions[model].get(query.query_id)) is not None
                    and question.impossible is None
                ],
            )
            for query in self._asked
        ]

    def count_missing(self) -> int:
        """Answers that could be had and are not there, nor in a batch."""
        kept = self.collection.answers()
        there = {(answer.query_id, answer.model) for answer in kept if answer.is_answer}
        there |= waiting_in_batches(self.collection)
        impossible = {
            (query_id, model)
            for model, questions in self.questions.items()
            for query_id, question in questions.items()
            if question.impossible is not None
        }
        wanted = {(answer.query_id, model) for answer in self._asked for model in self.models}
        return len(wanted - there - impossible)


def _logged(query: AskedQuery, model: str, nano_usd: int) -> KeptAnswer:
    return KeptAnswer(
        query.query_id,
        model,
        "logged",
        answer=query.answer,
        finish_reason=query.finish_reason,
        input_tokens=query.input_tokens,
        output_tokens=query.output_tokens,
        cost_nusd=nano_usd,
        latency_seconds=query.latency_seconds,
        asked_at=query.asked_at,
    )
