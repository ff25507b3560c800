"""A diagnosis as a whole: the tables that it refuses."""

import pytest

from equirouter.errors import DataError
from equirouter.evaluation.diagnosis.measuring import diagnose
from tests.toys import HashingEncoder, make_log, make_table


def test_a_log_with_few_complete_queries_is_refused_with_the_way_out() -> None:
    log = make_log(make_table(200, incomplete=0), 0.3)
    with pytest.raises(DataError, match="needed to say why routing pays or does not"):
        diagnose(log, HashingEncoder())
