from datetime import timedelta

from alerts.rules.override_expiring import OverrideExpiring
from alerts.verdicts import Firing, Quiet
from tests.alerts.views import T0, override, view

SECOND = timedelta(seconds=1)


def test_it_fires_so_long_before_the_end() -> None:
    rule, seen = OverrideExpiring(within=60), view(override=override(expires_at=T0 + 100 * SECOND))

    assert rule.judge(seen, T0) == Quiet(T0 + 40 * SECOND)
    assert isinstance(rule.judge(seen, T0 + 40 * SECOND), Firing)


def test_what_a_policy_holds_is_not_about_to_end() -> None:
    seen = view(override=override(expires_at=T0 + SECOND, by_policy=True))

    assert OverrideExpiring(within=60).judge(seen, T0) == Quiet()


def test_one_without_an_end_is_never_about_to_end() -> None:
    assert OverrideExpiring(within=60).judge(view(override=override()), T0) == Quiet()
