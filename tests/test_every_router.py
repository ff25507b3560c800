"""Every registered router under the contract: a new one is tested by being registered."""

import pytest

from equirouter.registry import ROUTERS
from equirouter.routers import Router, make_router
from equirouter.testing import ROUTER_CHECKS
from equirouter.testing.routers import (
    RouterCheck,
    it_learns_what_can_be_learned,
    scores_are_what_they_say,
)

FULLY_TRAINED = (it_learns_what_can_be_learned, scores_are_what_they_say)


@pytest.mark.parametrize("check", ROUTER_CHECKS)
@pytest.mark.parametrize("name", ROUTERS.names())
def test_a_router_keeps_the_contract(name: str, check: RouterCheck) -> None:
    def make() -> Router:
        router = make_router(name)
        if "epochs" in router.settings and check not in FULLY_TRAINED:
            return make_router(name, epochs=3)
        return router

    check(make)
