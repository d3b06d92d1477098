from datetime import timedelta

from alerts.rules.override_age import OverrideAge
from alerts.verdicts import Firing, Quiet
from tests.alerts.views import T0, override, view

SECOND = timedelta(seconds=1)


def test_it_waits_for_its_age_and_is_well_until_then() -> None:
    rule, seen = OverrideAge(for_=60), view(override=override())

    assert rule.judge(seen, T0 + 59 * SECOND) == Quiet(T0 + 60 * SECOND)
    assert isinstance(rule.judge(seen, T0 + 60 * SECOND), Firing)
    assert rule.judge(view(), T0) == Quiet()
