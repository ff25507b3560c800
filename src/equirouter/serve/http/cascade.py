"""Two models at once, then stop with the better supported answer or ask one more.

The two are collected and never relayed, so that the head of the answer names who is served. What
they may cost at most is reserved before they are called, and that of one more beside what they are
charged before that one is.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from random import random
from typing import Any

from equirouter.answers import NO_ANSWER, make_extractor
from equirouter.checks import Response
from equirouter.checks.model_calls import COST, AskingCheck, may_ask
from equirouter.conversation import read_scope
from equirouter.errors import ConfigError, NoAnswerError, UpstreamError
from equirouter.pipeline.decision import AskModel, Serve
from equirouter.policy.replies import Reply
from equirouter.serve.call.answer_check import reply_of, response_of
from equirouter.serve.call.attempts import Call, Served, try_once, walk
from equirouter.serve.chat import ChatRequest
from equirouter.serve.contracts import Reservation
from equirouter.serve.http.bill import Bill
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.http.reply_checks import CheckCall, ReplyChecks
from equirouter.serve.records import (
    Attempt,
    CallRole,
    Candidate,
    Cascaded,
    Plan,
    RequestRecord,
    WhyNext,
    usd,
)


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


class Cascade:
    """One request of which more than one model is asked: `plan` has a pair.

    Every call is noted in the record, and charged when it is over.
    """

    def __init__(
        self,
        gateway: Gateway,
        chat: ChatRequest,
        plan: Plan,
        record: RequestRecord,
        bill: Bill,
    ) -> None:
        assert plan.pair is not None and plan.cascade is not None  # noqa: S101, PT018  # see above
        self._last: UpstreamError | None = None
        self._pair, self._next, self._candidates = plan.pair, plan.cascade, plan.candidates
        self._scores = plan.scores
        self._record, self._bill = record, bill
        self._pool, self._settings = gateway.pool, gateway.settings
        self._checks = RequestChecks(gateway.checks, plan, bill, gateway.planner.strongest)
        reads = gateway.settings.pipeline
        self._query = read_scope(chat.messages, reads.scope, reads.window_turns).text
        self._extract = make_extractor(plan.pair.extractor)
        self._replies: dict[str, Reply] = {}
        self._numbers: dict[str, int] = {NO_ANSWER: 0}
        self._served: dict[str, Served] = {}
        self._asked: list[str] = list(plan.pair.models)

    async def answer(self, whole: Call, wanted: Call, ticket: Reservation) -> Served:
        """The answer for the client: whole and charged, but for the stream of one more model.

        whole: a call that brings all of an answer at once; wanted: as the client wants it. Raises
        NoAnswerError where nobody answered.
        """
        start = time.perf_counter()
        is_late = not await self._ask_pair(whole, ticket)
        wait_ms = (time.perf_counter() - start) * 1000.0
        why = self._why(is_late=is_late)
        self._record.cascade = Cascaded(self._pair.models, why, "accepted", wait_ms)
        without: set[str] = set()
        while True:
            step = self._step(without, is_late=is_late and not without)
            if isinstance(step, Serve):
                self._note(ended="kept" if without else "accepted", support=step.support)
                return self._served[step.model]
            served = await self._escalated(step.model, wanted, ticket)
            if served is not None:
                return served
            without.add(step.model)

    def read(self, served: Served, text: str) -> None:
        """Note the final answer of one more model, which went to the client as a stream."""
        self._note_answer(served.route.model, self._extract(text))

    def draws_audit(self) -> bool:
        """Draw whether one more model is asked though two agreed: never where they did not."""
        how = self._record.cascade
        if how is None or (how.ended, how.why) != ("accepted", "agree"):
            return False
        return random() < self._settings.cascade.audit_share  # noqa: S311  # no secret

    async def audit(self, whole: Call, ticket: Reservation) -> None:
        """Ask one more model once the answer is served, where the budgets allow it."""
        open_ = [self._bill.candidate(model) for model in self._next.last]
        if open_:
            best = max(open_, key=self._score)
            with suppress(NoAnswerError):
                await self._ask_more([best], whole, ticket, "audit")

    async def _ask_pair(self, call: Call, ticket: Reservation) -> bool:
        """Ask both at once, for max_wait_ms at most; whether that was enough for both to end.

        A check that is cut off is not known, which is no reason not to use the reply.
        """
        seconds = self._settings.cascade.max_wait_ms / 1000.0
        tasks = {
            asyncio.ensure_future(self._collect(model, call, ticket)): model
            for model in self._pair.models
        }
        try:
            _, running = await asyncio.wait(tasks, timeout=seconds)
            async with self._checks.reserving:  # an extension that is cut off blocks the next
                for task in running:
                    task.cancel()
        finally:  # a client that hangs up ends both
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._give_role("first")
        for error in ended:
            if isinstance(error, Exception):
                raise error
        return {tasks[task] for task in running} <= self._replies.keys()

    async def _collect(self, model: str, call: Call, ticket: Reservation) -> None:
        """The whole answer of one model, checked; one that fails has no reply."""
        route, candidate = self._pool.routes[model], self._bill.candidate(model)
        self._checks.open_nusd[model] = candidate.upper_nusd
        try:
            fetched = await try_once(route, call, 0.0, self._record.attempts)
        except UpstreamError as failed:
            call.names_parameter(model, failed)
            self._last = failed
            return
        finally:
            del self._checks.open_nusd[model]
        await self._check(model, self._take(Served(candidate, route, *fetched)), ticket)

    async def _check(self, model: str, response: Response, ticket: Reservation) -> None:
        """Add to a reply what checks say of it."""
        signals = await self._checks.of(model, response, ticket)
        self._replies[model] = replace(self._replies[model], signals=signals)
        if signals:
            self._record.call_of(model).signals = signals

    def _take(self, served: Served) -> Response:
        """Charge a whole answer, and read what it says."""
        served.close()
        model = served.route.model
        tokens = self._bill.charge_document(served)
        response = response_of(served.document, self._query)
        reply = reply_of(response, self._extract, tokens.output)
        self._served[model], self._replies[model] = served, reply
        self._note_answer(model, reply.answer or NO_ANSWER)
        return response

    def _why(self, *, is_late: bool) -> WhyNext:
        if is_late:
            return "late"
        answers = [reply.answer for reply in self._replies.values()]
        if len(answers) < len(self._pair.models):
            return "failed"
        if NO_ANSWER in answers:
            return "no answer"
        return "agree" if len(set(answers)) == 1 else "disagree"

    def _step(self, without: set[str], *, is_late: bool) -> Serve | AskModel:
        """The next step on the replies; where time was over, as if there were none.

        An answer that was refused, cut, or has no final answer in it is served only where no model
        is left to ask. Raises NoAnswerError where there is no answer at all.
        """
        replies = {} if is_late else self._replies
        try:
            step = self._next.then(self._asked, replies, without=without)
            if isinstance(step, Serve) and step.model not in self._full():
                step = self._next.then(self._asked, self._full(), without=without)
        except ConfigError:  # no model is left
            if not self._replies:
                raise NoAnswerError(self._last) from None
            left = map(self._bill.candidate, self._full() or self._replies)
            best = max(left, key=self._score)
            step = Serve(best.model, None)
        return step

    def _full(self) -> dict[str, Reply]:
        """The replies with a final answer."""
        return {model: reply for model, reply in self._replies.items() if reply.answer != NO_ANSWER}

    async def _escalated(self, model: str, call: Call, ticket: Reservation) -> Served | None:
        """The answer for the client once one more model was asked; None where it could not be.

        Where nobody has replied the others follow, should that one fail.
        """
        candidates = [self._bill.candidate(model)]
        if not self._replies:
            gone = (*self._pair.models, model)
            candidates += [
                candidate for candidate in self._candidates if candidate.model not in gone
            ]
        try:
            served = await self._ask_more(candidates, call, ticket, "escalation")
        except NoAnswerError as nobody:
            self._last = nobody.last or self._last
            if not self._replies:
                raise NoAnswerError(self._last) from nobody
            self._note(blocked=f"{model} {'failed' if nobody.last else 'over budget'}")
            return None
        self._note(ended="escalated", blocked=None)
        return self._best(served.route.model) if served.document else served

    async def _ask_more(
        self, candidates: Sequence[Candidate], call: Call, ticket: Reservation, role: CallRole
    ) -> Served:
        """Ask one model more: the first that answers of those which the budgets allow.

        Raises NoAnswerError, where no budget allows one without a failure.
        """
        spent = self._bill.spent_nusd
        left = [
            candidate
            for candidate in candidates
            if self._bill.over_budget(spent + candidate.upper_nusd) is None
        ]
        needed = spent + (left[0].upper_nusd if left else 0)
        if not left or not await ticket.extend(needed):
            raise NoAnswerError(None)
        attempts, retries = self._record.attempts, self._settings.retries
        try:
            served = await walk(left, self._pool, call, ticket, attempts, retries, needed)
        finally:
            self._give_role(role)
        self._asked.append(served.route.model)
        if served.document:
            response = self._take(served)
            if role == "escalation":
                await self._check(served.route.model, response, ticket)
        return served

    def _best(self, third: str) -> Served:
        """The best supported of the answers; the last one where none has a final answer."""
        full = self._full()
        step = self._next.then(self._asked, full) if full else Serve(third, None)
        if not isinstance(step, Serve):  # the rule would ask a model that is down
            step = Serve(third, None)
        self._note(support=step.support)
        return self._served[step.model]

    def _give_role(self, role: CallRole) -> None:
        """The calls since the last round had this role."""
        attempts = self._record.attempts
        attempts[:] = [
            attempt if attempt.role else replace(attempt, role=role) for attempt in attempts
        ]

    def _note_answer(self, model: str, answer: str) -> None:
        call = self._record.call_of(model)
        call.answer_id = self._numbers.setdefault(answer, len(self._numbers))
        call.answer = answer if self._settings.log.log_texts else None

    def _note(self, **changes: Any) -> None:  # noqa: ANN401  # fields of Cascaded
        assert self._record.cascade is not None  # noqa: S101  # the pair was asked
        self._record.cascade = replace(self._record.cascade, **changes)

    def _score(self, candidate: Candidate) -> float:
        return self._scores.get(candidate.model, 0.0)
