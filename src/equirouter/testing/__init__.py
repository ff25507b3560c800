"""The contracts as checks, for pytest or without it: run them on a router of your own.

    routers.py  ROUTER_CHECKS and check_router: the contract of a router, a function per rule
    checks.py   check_response_check: the contract of a check of responses
    graders.py  GRADER_CHECKS and check_grader: the contract of a grader
    problems.py small made-up problems, make_toy, that the checks and other tests fit on
    expect.py   how a check fails; missing packages, and generators of random numbers

A check is a function of a factory; it returns None or raises AssertionError, which names what was
found and what was expected. With pytest, each check a test of its own:

    import pytest
    from equirouter.testing import ROUTER_CHECKS

    @pytest.mark.parametrize("check", ROUTER_CHECKS)
    def test_my_router(check):
        check(MyRouter)

Importing this needs the core install alone; a check of what needs an extra needs that extra too.
"""

from equirouter.testing.checks import check_response_check
from equirouter.testing.graders import GRADER_CHECKS, check_grader
from equirouter.testing.problems import Toy, make_toy
from equirouter.testing.routers import ROUTER_CHECKS, check_router

__all__ = [
    "GRADER_CHECKS",
    "ROUTER_CHECKS",
    "Toy",
    "check_grader",
    "check_response_check",
    "check_router",
    "make_toy",
]
