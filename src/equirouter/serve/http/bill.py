"""The money of one request: what its calls may come to, what they are charged, and its end."""

from equirouter.serve.call.attempts import Served
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.records import Candidate, RequestControl, RequestRecord, nusd
from equirouter.serve.settling import Bounds, Report, charge, cost_in_tier, unseen_nusd

__all__ = ["Bill"]

_LONGEST_TIER = 32  # characters of the name of a service tier that are logged


class Bill:
    """Writes what a request costs into its record, which has its plan before anybody is called."""

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

    def candidate(self, model: str) -> Candidate:
        """A model of the plan."""
        assert self._record.plan is not None  # noqa: S101  # see above
        return next(known for known in self._record.plan.candidates if known.model == model)

    def unseen_nusd(self, model: str, seconds: float) -> int:
        """The charge for a call of a model that ran so long, and brought no answer."""
        return unseen_nusd(self._bounds(model), seconds, self._unknown)

    def charge(
        self,
        served: Served,
        *,
        usage: object,
        output_tokens: int,
        reported: int | None,
        service_tier: object,
    ) -> None:
        """Note what an answer is charged, and what the strongest model would have cost.

        The arguments are those of a Report; reported: nano-USD.
        """
        record, gateway, route = self._record, self._gateway, served.route
        is_answer = self._chat.endpoint != "embeddings"
        charged = charge(
            self._bounds(route.model),
            Report(usage, output_tokens, reported, service_tier, is_answer),
            unknown=self._unknown,
            by_reported_cost=route.upstream_settings.charge_reported_cost,
        )
        tier = charged.service_tier
        record.tokens, record.charged_by = charged.tokens, charged.by
        record.reported_nusd = reported
        record.service_tier = None if tier is None else tier[:_LONGEST_TIER]
        self._spend(charged.cost_nusd)
        strongest = gateway.planner.strongest
        if strongest is not None and is_answer:
            price = gateway.pool.routes[strongest].price
            record.strongest_nusd = cost_in_tier(price, charged.tokens, tier)

    def settle(self, ticket: Reservation) -> None:
        """End the reservation with what the request cost."""
        record = self._record
        unseen = [attempt for attempt in record.attempts if attempt.cost_nusd is not None]
        if record.tokens is None and unseen:
            record.charged_by = self._unknown
            if any(attempt.cost_nusd for attempt in unseen):
                self._spend(0)
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

    def _spend(self, cost_nusd: int) -> None:
        """Note the cost of the request: of its answer, and of the calls that failed."""
        record = self._record
        record.cost_nusd = cost_nusd + sum(attempt.cost_nusd or 0 for attempt in record.attempts)
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
