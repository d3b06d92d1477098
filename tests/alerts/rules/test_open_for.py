from datetime import timedelta

from alerts.rules.open_for import OpenFor
from alerts.verdicts import CheckAt, Firing, Hold, Quiet
from tests.alerts.views import T0, instance, view

SECOND = timedelta(seconds=1)
RULE = OpenFor(for_=60)


def test_it_waits_the_whole_time() -> None:
    seen = view(instance("open"))

    assert RULE.judge(seen, T0 + 59 * SECOND) == CheckAt(T0 + 60 * SECOND)
    assert isinstance(RULE.judge(seen, T0 + 60 * SECOND), Firing)


def test_a_failed_probe_does_not_start_it_anew() -> None:
    seen = view(instance("open", since=T0 + 58 * SECOND))

    assert isinstance(RULE.judge(seen, T0 + 60 * SECOND), Firing)


def test_a_probe_neither_fires_nor_resolves() -> None:
    assert RULE.judge(view(instance("half_open")), T0 + 90 * SECOND) == Hold()


def test_the_second_instance_to_stay_open_is_asked_for_in_time() -> None:
    first, second = instance("open"), instance("open", outage_since=T0 + 30 * SECOND)

    verdict = RULE.judge(view(first, second), T0 + 60 * SECOND)

    assert verdict == Firing("open for 1 min", frozenset({first.id}), T0 + 90 * SECOND)


def test_closed_is_well_and_so_is_what_an_operator_forced_open() -> None:
    assert RULE.judge(view(instance("closed")), T0) == Quiet()
    assert RULE.judge(view(instance("forced_open")), T0 + 90 * SECOND) == Quiet()
