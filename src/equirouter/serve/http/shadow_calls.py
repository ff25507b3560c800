"""Shadow answers on their way: once the client has its answer, other models answer the same."""

import asyncio
import time

from equirouter.errors import GatewayError, UpstreamError
from equirouter.serve.call.attempts import Served, try_once
from equirouter.serve.chat import ChatRequest
from equirouter.serve.front.asked import Asked
from equirouter.serve.http.exchange import Exchange
from equirouter.serve.http.gateway import Gateway
from equirouter.serve.plan.explore import Shadows
from equirouter.serve.records import Key, Plan, RequestControl, RequestRecord


def begin_shadows(
    gateway: Gateway,
    request: Asked,
    chat: ChatRequest,
    control: RequestControl,
    key: Key | None,
    record: RequestRecord,
) -> None:
    """Let other models answer a request that is answered, in the background. record: the client's.

    The key is not charged: the money is the gateway's own, within shadow.limit_usd_per_day.
    """
    shadows = gateway.shadows
    if shadows is None:
        return
    for plan in shadows.drawn(record, chat, control, key):
        gateway.begin(_Shadow(gateway, request, chat, plan).run(shadows))


class _Shadow(Exchange):
    """One more answer to a request, in one piece, for the log alone."""

    def __init__(self, gateway: Gateway, request: Asked, chat: ChatRequest, plan: Plan) -> None:
        super().__init__(gateway, request, chat, RequestControl(), None, plan=plan)
        self.record.plan = plan
        self.record.stream = False

    async def run(self, shadows: Shadows) -> None:
        """Call the model once, without a wait for room that clients may need, and log it."""
        record, gateway = self.record, self._gateway
        plan, start = record.plan, time.perf_counter()
        assert plan is not None  # noqa: S101  # see above
        try:
            ticket = await self._reserved(plan)
            try:
                await self._logged(plan)
            finally:
                self._bill.settle(ticket)
        except (UpstreamError, GatewayError) as failed:
            record.status, record.error = failed.status or 502, str(failed)
        except asyncio.CancelledError:
            record.status, record.error = 503, "cut off: the gateway stopped"
            raise
        except Exception as error:
            record.status, record.error = 500, f"{type(error).__name__}: {error}"
            raise
        finally:
            record.total_ms = (time.perf_counter() - start) * 1000.0
            shadows.finished(plan, record.cost_nusd)
            gateway.finished(record, {})

    async def _logged(self, plan: Plan) -> None:
        candidate = plan.candidates[0]
        route = self._gateway.pool.routes[candidate.model]
        call = self._call(is_whole=True)
        fetched = await try_once(route, call, 0.0, self.record.attempts)
        served = Served(candidate, route, *fetched)
        try:
            self._bill.charge_document(served)
            self.record.served_model = candidate.model
            self._document(plan, served)
            self.record.strongest_nusd = None  # nothing was saved or lost: no client was served
        finally:
            served.close()
