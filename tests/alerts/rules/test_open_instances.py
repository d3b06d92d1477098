from typing import Any

import pytest

from alerts.rule_changes import read_kind
from alerts.rules.open_instances import OpenInstances
from alerts.verdicts import Firing, Hold, Quiet
from breakers.errors import Invalid
from tests.alerts.views import T0, instance, view


@pytest.mark.parametrize(
    ("params", "states", "verdict"),
    [
        ({"count": 2}, ["open", "open", "closed"], Firing),
        ({"count": 2}, ["open", "closed", "closed"], Quiet),
        ({"count": 2}, ["open", "half_open", "closed"], Hold),
        ({"count": 2}, ["open", "forced_open", "closed"], Quiet),
        ({"percent": 50}, ["open", "closed"], Firing),
        ({"percent": 50}, ["open", "closed", "closed"], Quiet),
        ({"percent": 33.4}, ["open", "closed", "closed"], Quiet),
        ({"percent": 33.3}, ["open", "closed", "closed"], Firing),
        ({"percent": 100}, ["open", "open"], Firing),
    ],
)
def test_at_least_so_many_of_the_live_ones(
    params: dict[str, Any], states: list[str], verdict: type
) -> None:
    gone = instance("open", live=False)

    assert isinstance(
        OpenInstances(**params).judge(view(gone, *map(instance, states)), T0), verdict
    )


@pytest.mark.parametrize("params", [{}, {"count": 1, "percent": 1}])
def test_it_takes_either_a_count_or_a_percentage(params: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="either") as wrong:
        read_kind("open_instances", params)

    assert wrong.value.errors[0].loc == ("params", "count")
