from datetime import timedelta

from alerts.rules.half_open_for import HalfOpenFor
from alerts.verdicts import CheckAt, Firing, Quiet
from tests.alerts.views import T0, instance, view

SECOND = timedelta(seconds=1)


def test_it_waits_the_whole_time_in_one_state() -> None:
    rule, seen = HalfOpenFor(for_=60), view(instance("half_open"))

    assert rule.judge(seen, T0 + 59 * SECOND) == CheckAt(T0 + 60 * SECOND)
    assert rule.judge(seen, T0 + 60 * SECOND) == Firing(
        "half open for 1 min", frozenset({seen.instances[0].id})
    )
    assert rule.judge(view(instance("open")), T0 + 90 * SECOND) == Quiet()
