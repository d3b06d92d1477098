from datetime import timedelta

from alerts.rules.override_unapplied import OverrideUnapplied
from alerts.verdicts import CheckAt, Firing, Hold, Quiet
from tests.alerts.views import T0, instance, override, view

SECOND = timedelta(seconds=1)
RULE = OverrideUnapplied(for_=60)


def test_it_waits_for_every_live_instance_that_it_is_for() -> None:
    done, waiting = instance("forced_open", applied=1), instance("closed")
    seen = view(done, waiting, instance("closed", live=False), override=override())

    assert RULE.judge(seen, T0) == CheckAt(T0 + 60 * SECOND)
    verdict = RULE.judge(seen, T0 + 60 * SECOND)
    assert isinstance(verdict, Firing)
    assert verdict.by == {waiting.id}
    assert RULE.judge(view(done, override=override()), T0) == Quiet()


def test_who_is_out_of_its_scope_need_not() -> None:
    seen = view(instance("closed", name="b"), override=override(excepted=("b",)))

    assert RULE.judge(seen, T0 + 90 * SECOND) == Quiet()


def test_an_instance_that_came_later_has_its_own_time() -> None:
    late = instance("closed", heard_since=T0 + 3600 * SECOND)
    seen = view(late, override=override())

    assert RULE.judge(seen, T0 + 3600 * SECOND) == CheckAt(T0 + 3660 * SECOND)


def test_who_confirmed_and_is_something_else_does_not_obey() -> None:
    left = instance("closed", applied=1, since=T0 + 600 * SECOND)
    seen = view(instance("forced_open", applied=1), left, override=override())

    assert RULE.judge(seen, T0 + 600 * SECOND) == CheckAt(T0 + 660 * SECOND)
    verdict = RULE.judge(seen, T0 + 660 * SECOND)
    assert isinstance(verdict, Firing)
    assert verdict.by == {left.id}


def test_with_nobody_left_what_is_stays_and_without_an_override_all_is_well() -> None:
    gone = instance("unknown", live=False)

    assert RULE.judge(view(gone, override=override()), T0 + 90 * SECOND) == Hold()
    assert RULE.judge(view(gone), T0 + 90 * SECOND) == Quiet()
