"""The money of one request: what its calls may come to, what they are charged, and its end."""

from collections.abc import Sequence
from dataclasses import replace

from equirouter.cost.prices import estimated_tokens
from equirouter.serve.call.attempts import Served
from equirouter.serve.call.relay import answer_text
from equirouter.serve.call.sse import StreamReader, service_tier_of, usage_in
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.records import (
    Attempt,
    Candidate,
    RequestControl,
    RequestRecord,
    Tokens,
    nusd,
)
from equirouter.serve.settling import (
    Bounds,
    Charge,
    Report,
    charge,
    cost_in_tier,
    reported_nusd,
    unseen_nusd,
)

_LONGEST_TIER = 32  # characters of the name of a service tier that are logged


class Bill:
    """Writes what a request costs into its record, which has its plan before anybody is called.

    The cost of a request is the sum of what its calls are charged, those that failed too.
    """

    def __init__(
        self,
        gateway: Gateway,
        record: RequestRecord,
        chat: ChatRequest,
        control: RequestControl,
    ) -> None:
        self._gateway = gateway
        self._record = record
        self._chat = chat
        self._budget_usd = control.budget_usd
        self._unknown = gateway.settings.money.charge_unknown
        self._charged: dict[str, tuple[Charge, int | None]] = {}

    def candidate(self, model: str) -> Candidate:
        """A model of the plan."""
        assert self._record.plan is not None  # noqa: S101  # see above
        for known in self._record.plan.candidates:
            if known.model == model:
                return known
        raise LookupError(f"{model} is not in the plan")

    @property
    def spent_nusd(self) -> int:
        """The charge for all calls that are over."""
        return sum([attempt.cost_nusd or 0 for attempt in self._record.attempts])

    def unseen_nusd(self, model: str, seconds: float) -> int:
        """The charge for a call of a model that ran so long, and brought no answer."""
        return unseen_nusd(self._bounds(model), seconds, self._unknown)

    def charge_document(self, served: Served) -> Tokens:
        """Note what an answer is charged that came in one piece; returns its tokens."""
        return self._charge(served, _report(served, is_answer=self._is_answer))

    def charge_stream(self, served: Served, reader: StreamReader) -> None:
        """Note what an answer is charged that came in pieces."""
        usage = reader.usage
        tier = reader.service_tier
        report = Report(usage, lambda: -(-reader.output_bytes // 4), reported_nusd(usage, {}), tier)
        self._charge(served, report)

    def note_check(self, attempts: Sequence[Attempt], bounds: Bounds, served: Served | None) -> int:
        """Note the call of a check in the record; returns what it is charged, in nano-USD.

        served: its answer, None where it brought none.
        """
        record, before_nusd = self._record, self.spent_nusd
        for attempt in attempts:
            noted = replace(attempt, role="check")
            if served is not None:
                charged = charge(
                    bounds,
                    _report(served),
                    unknown=self._unknown,
                    by_reported_cost=served.route.upstream_settings.charge_reported_cost,
                )
                used = charged.tokens
                noted = replace(
                    noted,
                    cost_nusd=charged.cost_nusd,
                    input_tokens=used.input,
                    output_tokens=used.output,
                )
                record.tokens = used if record.tokens is None else record.tokens + used
            record.attempts.append(noted)
        self._add_up()
        return self.spent_nusd - before_nusd

    def serves(self, model: str) -> None:
        """Note that the answer of a model, which was charged, is the one for the client.

        The strongest model would have cost what its tokens cost there, and no other's.
        """
        record, gateway = self._record, self._gateway
        charged, record.reported_nusd = self._charged[model]
        tier = charged.service_tier
        record.charged_by = charged.by
        record.service_tier = None if tier is None else tier[:_LONGEST_TIER]
        strongest = gateway.planner.strongest
        if strongest is not None and self._is_answer:
            price = gateway.pool.routes[strongest].price
            record.strongest_nusd = cost_in_tier(price, charged.tokens, tier)

    def settle(self, ticket: Reservation) -> None:
        """End the reservation with what the request cost."""
        record = self._record
        if record.tokens is not None:
            self._add_up()
        elif any(attempt.cost_nusd is not None for attempt in record.attempts):
            record.charged_by = self._unknown
            if self.spent_nusd:
                self._add_up()
        if record.cost_nusd is None:
            ticket.release()
            return
        used = record.tokens
        tokens = None if used is None else used.input + used.output
        ticket.settle(record.cost_nusd, tokens=tokens)

    def over_budget(self, nano_usd: int) -> int | None:
        """By how much an amount exceeds the budget of the request, None where it does not."""
        over = 0 if self._budget_usd is None else nano_usd - nusd(self._budget_usd)
        return over if over > 0 else None

    @property
    def _is_answer(self) -> bool:
        return self._chat.endpoint != "embeddings"

    def _charge(self, served: Served, report: Report) -> Tokens:
        record, route = self._record, served.route
        charged = charge(
            self._bounds(route.model),
            report,
            unknown=self._unknown,
            by_reported_cost=route.upstream_settings.charge_reported_cost,
        )
        self._charged[route.model] = charged, report.cost_nusd
        used = charged.tokens
        record.tokens = used if record.tokens is None else record.tokens + used
        record.charged_by = charged.by
        call = record.call_of(route.model)
        call.cost_nusd = charged.cost_nusd
        call.input_tokens, call.output_tokens = used.input, used.output
        self._add_up()
        return used

    def _add_up(self) -> None:
        record = self._record
        record.cost_nusd = self.spent_nusd
        record.over_budget_nusd = self.over_budget(record.cost_nusd)

    def _bounds(self, model: str) -> Bounds:
        """The tokens and the cost that a call of a model may come to."""
        plan, chat, route = self._record.plan, self._chat, self._gateway.pool.routes[model]
        assert plan is not None  # noqa: S101  # see above
        candidate = self.candidate(model)
        answer = (
            chat.max_output_tokens or candidate.answer_tokens or route.settings.max_output_tokens
        )
        return Bounds(
            route.price,
            candidate.upper_nusd,
            plan.prompt_tokens,
            answer * chat.n,
            answers=chat.n,
            is_whole=not (chat.kept_elsewhere or chat.unpriced),
            service_tier=None if "service_tier" in route.fitting.drop else chat.service_tier,
        )


def _report(served: Served, *, is_answer: bool = True) -> Report:
    """The facts of an answer that came in one piece."""
    document = served.document
    usage = usage_in(document)
    return Report(
        usage,
        lambda: estimated_tokens(answer_text(document)),
        reported_nusd(usage, served.answer.headers),
        service_tier_of(document),
        is_answer,
    )
