"""The checks of the replies to one request; those that ask a model are paid like its calls."""

import asyncio

from equirouter.checks import Response
from equirouter.checks.model_calls import COST, AskingCheck, may_ask
from equirouter.errors import UpstreamError
from equirouter.serve.call.attempts import Served, try_once
from equirouter.serve.call.final_answer import response_of
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.bill import Bill
from equirouter.serve.http.reply_checks import CheckCall, ReplyChecks
from equirouter.serve.records import Attempt, Candidate, Plan, usd


class RequestChecks:
    """The signals of checks on replies: only those that decide in the plan, which has a pair.

    strongest: the model against whose predicted cost a judge must be cheap.
    """

    def __init__(
        self,
        checks: ReplyChecks,
        plan: Plan,
        bill: Bill,
        strongest: str | None,
    ) -> None:
        assert plan.cascade is not None  # noqa: S101  # see above
        cascade = plan.cascade
        self._checks, self._bill = checks, bill
        self._names = [name for name in cascade.signals if name in checks]
        costs = dict(zip(cascade.models, cascade.costs.tolist(), strict=True))
        self._strongest_usd = 0.0 if strongest is None else costs[strongest]
        self.open_nusd: dict[str, int] = {}
        """The most that calls may cost which are not over, by what they are for."""
        self.reserving = asyncio.Lock()
        """Held while money is reserved: a reservation takes one extension at a time."""

    async def of(self, model: str, response: Response, ticket: Reservation) -> dict[str, float]:
        """The signals of a model's response, with what it cost to ask for one.

        Those that are not known are left out.
        """
        values = await asyncio.gather(
            *(self._signal(name, model, response, ticket) for name in self._names)
        )
        return {
            name: value
            for signals in values
            for name, value in signals.items()
            if value is not None
        }

    async def _signal(
        self, name: str, model: str, response: Response, ticket: Reservation
    ) -> dict[str, float | None]:
        check = self._checks[name]
        if not isinstance(check, AskingCheck):
            return {name: await self._checks.run(name, check, response)}
        question = self._checks.question(check, response, model)
        if question is None or not may_ask(question.expected_usd, self._strongest_usd):
            return {}
        purpose, most = f"{name} of {model}", question.bounds.upper_nusd
        if not await self._reserves(most, ticket):
            return {}
        self.open_nusd[purpose] = most
        try:
            answer, cost_nusd = await self._answer(question)
        finally:
            del self.open_nusd[purpose]
        value = None if answer is None else check.read(answer)
        return {name: value, name + COST: usd(cost_nusd)}

    async def _reserves(self, more_nusd: int, ticket: Reservation) -> bool:
        """Reserve a call beside those that are over, and those that are not."""
        async with self.reserving:
            needed = self._bill.spent_nusd + sum(self.open_nusd.values()) + more_nusd
            return self._bill.over_budget(needed) is None and await ticket.extend(needed)

    async def _answer(self, question: CheckCall) -> tuple[str | None, int]:
        """The text of the answer, None where there is none in time; what it is charged."""
        route, attempts = question.route, list[Attempt]()
        served: Served | None = None
        try:
            async with asyncio.timeout(self._checks.seconds):
                fetched = await try_once(route, question.call, 0.0, attempts)
            candidate = Candidate(route.model, question.bounds.upper_nusd)
            served = Served(candidate, route, *fetched)
            served.close()
        except (UpstreamError, TimeoutError):
            pass
        finally:
            cost_nusd = self._bill.note_check(attempts, question.bounds, served)
        return None if served is None else response_of(served.document, "").text, cost_nusd
