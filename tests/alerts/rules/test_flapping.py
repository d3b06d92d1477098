from datetime import timedelta

from alerts.rules.flapping import Flapping
from alerts.verdicts import Firing, Quiet
from tests.alerts.views import T0, instance, view

SECOND = timedelta(seconds=1)
RULE = Flapping(trips=3, window=60)


def test_so_many_trips_in_one_instance_within_the_window() -> None:
    trips = (T0, T0 + 10 * SECOND, T0 + 20 * SECOND)
    seen = view(instance("closed", trips=trips))

    assert RULE.judge(seen, T0 + 15 * SECOND) == Quiet()
    verdict = RULE.judge(seen, T0 + 20 * SECOND)
    assert isinstance(verdict, Firing)
    assert verdict.again == T0 + 60 * SECOND
    assert RULE.judge(seen, verdict.again) == Quiet()


def test_trips_of_several_instances_do_not_add_up() -> None:
    each = [instance("open", trips=(T0,)) for _ in range(5)]

    assert RULE.judge(view(*each), T0) == Quiet()
