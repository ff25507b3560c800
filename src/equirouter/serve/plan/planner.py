"""Plans: constraints, then the router, then the session."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from equirouter.conversation import read_scope
from equirouter.cost.prices import Price
from equirouter.errors import ConfigError, GatewayError, UnreadableError
from equirouter.pipeline.decision import Ask
from equirouter.policy import Control
from equirouter.policy.pacer import Pacer
from equirouter.serve.chat import ChatRequest
from equirouter.serve.plan.cascades import Waits, with_pair
from equirouter.serve.plan.decision_thread import DecisionThread
from equirouter.serve.plan.feasible import Feasible, is_limited
from equirouter.serve.plan.loading import LoadedPipeline
from equirouter.serve.plan.prompt_tokens import prompt_tokens
from equirouter.serve.plan.served import (
    Canary,
    ServedPipeline,
    paced_decision,
    pacing_document,
    request_over,
)
from equirouter.serve.plan.sessions import Circumstances, Sessions, ranked_plan
from equirouter.serve.records import (
    Candidate,
    Key,
    Plan,
    RequestControl,
    RequestRecord,
)
from equirouter.serve.settings import GatewaySettings
from equirouter.serve.watch.collapse_alarm import AgreementWatch, CollapseWatch
from equirouter.serve.watch.drift import Alarm, all_alarms, script_of
from equirouter.serve.watch.prometheus import Metrics

_LOG = logging.getLogger("equirouter.serve")

TELL_EVERY = 20  # decisions of a class, between two looks at its gauges


class RoutingPlanner:
    """The Planner of the gateway: see there.

    prices: of every model of the pool. decider: None where no pipeline is configured; then only
    named models are served. A request for a virtual model is decided in this order: models that may
    not answer are removed; among those whose most expensive call is within the budget that the
    request sets, the router chooses by score and predicted mean cost; a conversation stays with its
    model where a switch does not pay. The candidates are in the order in which they are tried, all
    within the budget. told: hears that another pipeline decides.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        prices: Mapping[str, Price],
        available: Callable[[str], str | None],
        decider: DecisionThread | None,
        metrics: Metrics,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._decider = decider
        self._metrics, self._told = metrics, told
        self._feasible = Feasible(settings, prices, available)
        self._sessions = Sessions(settings.sessions)
        self.collapse = CollapseWatch(settings.collapse)
        self.agreement = AgreementWatch(settings.collapse, metrics)
        self._waits = Waits(settings.cascade.max_wait_ms)
        self._available = available
        self._served: ServedPipeline | None = None
        self._canary: Canary | None = None
        self._pace: Pacer | None = None
        self._observed = 0
        if decider is not None:
            self._learn(decider.loaded)

    @property
    def strongest(self) -> str | None:
        """The pipeline's strongest model that is served; None without a pipeline."""
        return None if self._decider is None else self._decider.loaded.strongest

    async def plan(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        """The ranked candidates; none where no model may answer, and removed says why.

        Raises GatewayError: 404 for a model that is not there, 403 for one that the key may not
        use, 400 for a control that cannot be followed, 503 where the router failed and the settings
        say to refuse.
        """
        start = time.perf_counter()
        unknown = control.exclude - self._settings.models.keys()
        if unknown:
            raise GatewayError(
                400,
                f"exclude: no model {', '.join(sorted(unknown))}; the models are "
                f"{', '.join(self._settings.models)}",
                param="exclude",
            )
        if not chat.is_virtual:
            return self._named(chat, control, key)
        plan = await self._routed(chat, control, key)
        plan.decision_ms = (time.perf_counter() - start) * 1000.0
        return plan

    def status(self) -> dict[str, object] | None:
        """The pipeline that decides now and what waits for it, as JSON; None without one."""
        if self._decider is None:
            return None
        loaded = self._decider.loaded
        return {
            "id": loaded.id,
            "version": loaded.version,
            "refused": self._decider.refused,
            "path": str(loaded.path),
            "models": list(loaded.pipeline.models),
            "strongest": loaded.strongest,
            "quick_characters": loaded.quick_characters,
            "decision_ms": round(loaded.decision_ms, 3),
            "waiting": self._decider.waiting,
            "pacing": None if self._pace is None else pacing_document(self._pace),
            "agreement": asdict(self.agreement.state()),
            "collapse": {name: asdict(state) for name, state in self.collapse.states().items()},
        }

    def alarms(self, drift: Sequence[Alarm] = ()) -> list[Alarm]:
        """All that is watched, with what the watch for drift says."""
        return all_alarms(self.collapse.states(), self.agreement.state(), drift)

    async def reload(self, path: Path | None = None, *, force: bool = False) -> str:
        """Let another pipeline decide once it has passed its self-test; returns its id.

        path: None reads the folder of the settings again. force: even if it rests on far less than
        the old one. Raises ConfigError where no pipeline is configured, PipelineError for a bad
        one: the old one goes on.
        """
        if self._decider is None:
            raise ConfigError("pipeline.path is not set: there is no pipeline to reload")
        taken = await self._decider.reload(path or self._settings.pipeline.path, force=force)
        self._told()
        return taken.id

    def finished(self, record: RequestRecord) -> None:
        """Remember who answered a conversation, and watch for collapse."""
        plan = record.plan
        if plan is None or record.endpoint == "route":
            return
        self._waits.note(record)
        if plan.paced is not None and self._pace is not None:
            request_over(self._pace, plan.paced, record.cost_nusd)
        explored = plan.decided_by == "explore"  # the next message is routed as if it had not been
        if plan.session is not None and record.served_model is not None and not explored:
            self._sessions.note(plan.session, record.served_model)
        served = self._served
        if served is None or plan.pipeline != served.loaded.id:  # a canary's is not watched so
            return
        self.agreement.note(record)
        if plan.class_ is None:
            return
        is_strongest = plan.candidates[0].model == served.loaded.strongest
        has_changed = self.collapse.observe(plan.class_, plan.expected_share, is_strongest)
        self._observed += 1
        if has_changed or self._observed % TELL_EVERY == 1:
            self._tell(plan.class_, has_changed=has_changed)

    def _tell(self, class_: str, *, has_changed: bool) -> None:
        state = self.collapse.state(class_)
        self._metrics.collapse(
            class_, share=state.share, expected=state.expected, alarm=state.is_alarm
        )
        if has_changed:
            _LOG.log(
                logging.WARNING if state.is_alarm else logging.INFO,
                "routing collapse, class %s, %s: %s got %.0f %% of the last %d decisions, %s "
                "expected",
                class_,
                "alarm" if state.is_alarm else "over",
                self.strongest,
                100 * state.share,
                state.decisions,
                "nothing" if state.expected is None else f"{100 * state.expected:.0f} %",
            )

    def try_out(self, loaded: LoadedPipeline | None, share: float = 0.0, salt: bytes = b"") -> None:
        """Let a share of the conversations go to another pipeline, None for no more: see Canary."""
        detect = self._settings.sessions.detect
        self._canary = (
            None if loaded is None else Canary(self._served_of(loaded), share, salt, detect)
        )

    def _served_of(self, loaded: LoadedPipeline) -> ServedPipeline:
        feasible = Feasible(self._settings, self._prices, self._available)
        return ServedPipeline(loaded, feasible, self._settings.models)

    def _learn(self, loaded: LoadedPipeline) -> ServedPipeline:
        """Another pipeline decides from now on."""
        self._served = served = self._served_of(loaded)
        spend_usd = self._settings.pipeline.spend_usd
        if self._pace is None and spend_usd is not None:  # a later pipeline goes on with the stream
            self._pace = loaded.pipeline.pacer(spend_usd)
        self._feasible = served.feasible
        self._waits.learn(loaded.pipeline)
        for class_, state in self.collapse.states().items():
            if state.is_alarm:  # it was about the pipeline that decided until now
                self._metrics.collapse(
                    class_, share=state.share, expected=state.expected, alarm=False
                )
        self.collapse.reset()
        self.agreement.reset()
        return served

    def _named(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        """The plan of a request that names its model: that one, under the same constraints."""
        name = chat.model
        if name not in self._settings.models:
            decides = ", and equirouter/auto decides" if self._settings.pipeline.path else ""
            raise GatewayError(
                404,
                f"no model {name!r}; the models are {', '.join(self._settings.models)}{decides}",
                code="model_not_found",
                param="model",
            )
        if key is not None and key.models is not None and name not in key.models:
            raise GatewayError(
                403, f"this key may not use {name}", type_="permission_error", param="model"
            )
        tokens = prompt_tokens(chat)
        limited = is_limited(self._settings.money, control, key)
        bounds = self._feasible.bounds((name,), chat, tokens, is_limited=limited)
        removed = self._feasible.removed((name,), bounds, chat, control, key, is_limited=limited)
        bound = bounds[name]
        return Plan(
            () if removed else (Candidate(name, bound.nusd, bound.answer),),
            "named",
            removed=removed,
            prompt_tokens=bound.prompt,
            max_output_tokens=bound.output,
        )

    async def _routed(self, chat: ChatRequest, control: RequestControl, key: Key | None) -> Plan:
        decider = self._decider
        if decider is None:
            raise GatewayError(
                404,
                f"{chat.model} needs a pipeline, and none is configured (pipeline.path); the "
                f"models are {', '.join(self._settings.models)}",
                code="model_not_found",
                param="model",
            )
        served = self._served
        if served is None or decider.loaded is not served.loaded:
            served = self._learn(decider.loaded)
        canary = self._canary
        if canary is None:
            return await self._routed_by(served, chat, control, key)
        unit = canary.unit(chat.messages, control, key)
        if canary.takes(unit):
            served = canary.served
        return replace(await self._routed_by(served, chat, control, key), unit=unit)

    async def _routed_by(
        self, served: ServedPipeline, chat: ChatRequest, control: RequestControl, key: Key | None
    ) -> Plan:
        extractor = served.extractor(self._settings.cascade, chat, control)
        try:
            asked, may_check = served.asked(
                control, self._pace_of(control), may_check=extractor is not None
            )
        except ConfigError as error:
            return served.nobody({}, GatewayError(400, str(error), param="quality"))
        tokens = prompt_tokens(chat)
        limited = is_limited(self._settings.money, control, key)
        models, feasible = served.models, served.feasible
        bounds = feasible.bounds(models, chat, tokens, is_limited=limited)
        removed = feasible.removed(models, bounds, chat, control, key, is_limited=limited)
        fits = len(removed) < len(models) or not served.spare_cheapest(removed, bounds)
        removed |= served.not_served
        session = self._sessions.id_of(chat.messages, control, key)
        request = Circumstances(chat, control, bounds, removed, fits, session)
        return await self._decided(served, request, asked, extractor if may_check else None)

    def _pace_of(self, control: RequestControl) -> Pacer | None:
        """The spend target of a request that sets no operating point, None without one."""
        points = (control.budget_usd, control.quality, control.lambda_)
        return self._pace if points == (None, None, None) else None

    async def _decided(
        self, served: ServedPipeline, request: Circumstances, asked: Control, extractor: str | None
    ) -> Plan:
        """The plan among the models that are left, by the router or by the rule of its failure.

        extractor: what reads final answers, None where one model is to be asked.
        """
        assert self._decider is not None  # noqa: S101  # a pipeline decides
        chat, removed = request.chat, request.removed
        if all(name in removed for name in served.models):
            return served.nobody(removed)
        pipeline = self._settings.pipeline
        reading = read_scope(chat.messages, pipeline.scope, pipeline.window_turns)
        encoder = served.loaded.pipeline.stage.encoder
        image = reading.image if encoder.accepts_images else None
        reasons = {name: removal.text for name, removal in removed.items()}
        try:
            may_check = extractor is not None
            decided = await self._decider.decide(
                Ask(reading.text, control=asked, removed=reasons, may_check=may_check),
                image,
                served.loaded,
            )
        except Exception as error:  # whatever fails there, requests go on being answered
            return self._without_router(error, served, request)
        decision, paced, pace = decided.decision, None, self._pace_of(request.control)
        if pace is not None:
            decision, paced = paced_decision(pace, decision, is_call=chat.endpoint != "route")
        last = self._sessions.model(request.session)
        rule = self._settings.sessions.switch_cost
        plan = ranked_plan(
            request,
            decision,
            decided.loaded,
            last=last,
            prices=self._prices,
            rule=rule,
            script=script_of(reading.text),
        )
        two = decision.plan
        if two is not None and extractor is not None and not self._waits.too_long(plan, two.first):
            plan = with_pair(plan, chat, two, last=last, rule=rule, extractor=extractor)
        return plan if pace is None else replace(plan, spend_usd=pace.spend_usd, paced=paced)

    def _without_router(
        self, error: Exception, served: ServedPipeline, request: Circumstances
    ) -> Plan:
        """The plan without a decision, by pipeline.on_router_failure.

        A request that cannot be read is the client's doing, and sets off no alarm.
        """
        rule = self._settings.pipeline.on_router_failure
        is_unread = isinstance(error, UnreadableError)
        if not is_unread:
            self._metrics.router_failed()
            name = type(error).__name__
            _LOG.warning("the router failed, on_router_failure is %s: %s: %s", rule, name, error)
        if rule == "refuse":
            return replace(
                served.nobody(request.removed, _refused(is_unread=is_unread)),
                decided_by="unreadable" if is_unread else "router_failure",
            )
        bounds = request.bounds
        left = [name for name in served.models if name not in request.removed]
        by_cost = sorted(left, key=lambda name: bounds[name].nusd)
        if rule == "strongest":
            by_cost.reverse()  # without a router, the more expensive is taken for the stronger
            by_cost.sort(key=lambda name: name != served.loaded.strongest)
        first = bounds[by_cost[0]]
        return Plan(
            tuple(Candidate(name, bounds[name].nusd, bounds[name].answer) for name in by_cost),
            "unreadable" if is_unread else "router_failure",
            removed=request.removed,
            prompt_tokens=first.prompt,
            max_output_tokens=first.output,
            pipeline=served.loaded.id,
            version=served.loaded.version,
            fits=request.fits,
        )


def _refused(*, is_unread: bool) -> GatewayError:
    """The answer where the router cannot choose, and the settings say to refuse."""
    if is_unread:
        return GatewayError(
            400,
            "the request has no text or embedded image to choose a model by: name a model",
            code="unreadable",
            param="messages",
        )
    return GatewayError(
        503,
        "the router failed, and this gateway then refuses to choose: name a model, or try "
        "again later",
        type_="server_error",
        code="router_failed",
        headers={"Retry-After": "5"},
    )
