"""The contract, on every registered check."""

import pytest

from equirouter.checks import make_check
from equirouter.registry import CHECKS
from equirouter.testing import check_response_check

SPECS = {"command": "command:run=true", "judge": "judge:model=small"}


@pytest.mark.parametrize("name", CHECKS.names())
def test_every_check_keeps_the_contract(name: str) -> None:
    if name == "sql":
        pytest.importorskip("sqlglot")
    check_response_check(lambda: make_check(SPECS.get(name, name)))


def test_the_contract_finds_what_breaks_it() -> None:
    class Percent:
        def __call__(self, response: object) -> float:
            return 50.0 if response else 0.0

    with pytest.raises(AssertionError, match=r"found 50\.0, expected a float from 0 to 1"):
        check_response_check(Percent)  # type: ignore[arg-type]
