from alerts.rules.instance_lost import InstanceLost
from alerts.verdicts import Firing, Quiet
from tests.alerts.views import T0, instance, view


def test_a_lost_instance_fires_until_it_is_back_or_retired() -> None:
    lost = instance("unknown", live=False, lost=True)

    assert InstanceLost().judge(view(lost, instance("closed")), T0) == Firing(
        "lost with its instance", frozenset({lost.id})
    )
    assert InstanceLost().judge(view(instance("closed")), T0) == Quiet()
    assert InstanceLost().judge(view(instance("unknown", live=False)), T0) == Quiet()
