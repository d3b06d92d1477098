"""Policies within the evaluator's claim, on a real database: what they hold, probe, release and suggest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.evaluate import evaluate_pending
from alerts.models import Incident, PolicyCase
from alerts.policies.acts import MARGIN
from breakers.desired.command import command_breaker
from breakers.desired.expire import expire_due
from breakers.desired.override import release_breaker
from breakers.models import Breaker, Instance, Override
from tests.alerts.policies.held import a_breaker, acts_of, applies, by_hand, comes_due, held, opens
from tests.support.make import happens, make_actor, make_breaker, make_instance, make_policy

pytestmark = pytest.mark.django_db


def test_enough_openings_hold_it_open_on_all_with_an_end():
    policy = make_policy(hold=30)

    breaker = a_breaker("a")
    assert held(breaker) is None
    opens(breaker, "b")

    override = held(breaker)
    assert override is not None
    assert (override.mode, override.instances, override.excepted) == ("forced_open", None, [])
    assert (override.by_kind, override.by_id, override.by_name) == ("policy", policy.pk, "fleet")
    assert override.expires_at == override.created_at + timedelta(seconds=30) + MARGIN
    assert acts_of(breaker) == [
        (
            "policy",
            "override",
            "2 of 3 instances opened within 60 s: held open on all for 30 s",
        )
    ]
    assert PolicyCase.objects.get().phase == "holding"


def test_probes_are_excepted_and_their_recovery_releases_all():
    make_policy(probe={"instances": 1, "successes": 2})
    breaker = a_breaker("a", "b")
    applies(breaker, "a", "b")

    comes_due(breaker)
    probing = held(breaker)
    assert probing is not None
    [first] = probing.excepted
    happens(breaker, "open", natural_state="open", instance=first)
    happens(breaker, "half_open", instance=first)
    happens(breaker, "closed", instance=first)
    evaluate_pending()

    further = held(breaker)
    assert further is not None
    assert set(further.excepted) == {"a", "b"}
    [second] = {"a", "b"} - {first}
    happens(breaker, "open", natural_state="open", instance=second)
    happens(breaker, "closed", instance=second)
    evaluate_pending()

    assert held(breaker) is None
    assert acts_of(breaker)[-1] == ("policy", "release", "2 instances have recovered.")
    assert not PolicyCase.objects.exists()


def test_a_probe_that_opens_again_has_all_held_for_longer():
    make_policy(hold=30)
    breaker = a_breaker("a", "b")
    comes_due(breaker)
    probing = held(breaker)
    assert probing is not None
    [probe] = probing.excepted

    happens(breaker, "half_open", instance=probe)
    happens(breaker, "open", instance=probe)
    evaluate_pending()

    again = held(breaker)
    assert again is not None
    assert again.excepted == []
    assert again.reason == f"{probe} opened again: held open on all for 60 s"


def test_probes_without_calls_time_out():
    make_policy(hold=30)
    breaker = a_breaker("a", "b")
    comes_due(breaker)
    comes_due(breaker)

    again = held(breaker)
    assert again is not None
    assert again.excepted == []
    assert "No answer from" in again.reason


def test_a_probe_that_is_not_connected_any_more_is_replaced():
    make_policy()
    breaker = a_breaker("a", "b")
    Instance.objects.update(connected=True)
    comes_due(breaker)
    before = held(breaker)
    assert before is not None

    Instance.objects.filter(name__in=before.excepted).update(connected=False)
    PolicyCase.objects.update(check_at=timezone.now())
    evaluate_pending()

    after = held(breaker)
    assert after is not None
    assert set(before.excepted) | set(after.excepted) == {"a", "b"}
    assert len(after.excepted) == 1


def test_those_that_are_connected_probe_before_those_known_by_http_alone():
    make_policy()
    names = tuple("abcdefgh")
    breaker = make_breaker(instances=names)
    opens(breaker, *names)
    Instance.objects.filter(name="e").update(connected=True)

    comes_due(breaker)

    probing = held(breaker)
    assert probing is not None
    assert probing.excepted == ["e"]


def test_what_it_does_itself_is_no_evidence():
    make_policy(count=3, probe={"instances": 1, "successes": 1})
    breaker = a_breaker("a", "b", "c")
    applies(breaker, "a", "b", "c")
    comes_due(breaker)
    probing = held(breaker)
    assert probing is not None
    [probe] = probing.excepted
    happens(breaker, "closed", instance=probe)
    evaluate_pending()
    assert held(breaker) is None

    # The agents of the others are released: their own breakers stand open as they did.
    for name in {"a", "b", "c"} - {probe}:
        happens(breaker, "open", natural_state="open", instance=name)
    happens(breaker, "open", instance=probe)
    evaluate_pending()

    assert held(breaker) is None


def test_what_a_hand_trips_is_no_evidence_and_what_fails_after_it_is():
    make_policy()
    breaker = a_breaker()
    command_breaker(breaker, command="trip", reason="a drill", by=make_actor(), now=timezone.now())

    opens(breaker, "a", "b", "c")
    assert held(breaker) is None

    for name in ("a", "b", "c"):
        happens(breaker, "half_open", instance=name)
    opens(breaker, "a", "b", "c")
    assert held(breaker) is not None


def test_a_forced_breaker_counts_by_what_it_would_be():
    make_policy()
    breaker = make_breaker(instances=("a", "b", "c"))
    for name in ("a", "b"):
        happens(breaker, "forced_open", natural_state="closed", instance=name)
    evaluate_pending()
    assert held(breaker) is None

    for name in ("a", "b"):
        happens(breaker, "forced_closed", natural_state="open", instance=name)
    evaluate_pending()
    assert held(breaker) is not None


def test_it_never_overrides_a_persons_override():
    make_policy()
    breaker = a_breaker()
    mine = by_hand(breaker)

    opens(breaker, "a", "b")

    assert held(breaker) == mine
    assert PolicyCase.objects.get().blocked == "ada holds it already."


def test_a_persons_override_takes_its_place_and_stays():
    make_policy()
    breaker = a_breaker("a", "b")
    mine = by_hand(breaker)

    comes_due(breaker)
    opens(breaker, "c")

    assert held(breaker) == mine
    assert PolicyCase.objects.get().phase == "watching"


def test_a_persons_release_keeps_it_off_until_the_breaker_has_closed():
    make_policy()
    breaker = a_breaker("a", "b")
    release_breaker(breaker, reason="not now", by=make_actor(), now=timezone.now())
    happens(breaker, "half_open", instance="a")
    happens(breaker, "half_open", instance="b")
    opens(breaker, "a", "b")
    assert held(breaker) is None
    assert "ada released it" in (PolicyCase.objects.get().blocked or "")

    happens(breaker, "closed", instance="a")
    happens(breaker, "closed", instance="b")
    evaluate_pending()
    opens(breaker, "a", "b")

    assert held(breaker) is not None


def test_a_persons_release_keeps_it_off_for_ten_minutes(monkeypatch: pytest.MonkeyPatch):
    make_policy()
    breaker = a_breaker("a", "b")
    release_breaker(breaker, reason="not now", by=make_actor(), now=timezone.now())
    opens(breaker, "c")
    assert held(breaker) is None

    # The audit log cannot be dated back, so it is the evaluator's clock that goes on.
    later = timezone.now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr("alerts.evaluate.database_now", lambda: later)
    for name in ("a", "b"):
        happens(breaker, "half_open", instance=name, at=later)
        happens(breaker, "open", instance=name, at=later)
    evaluate_pending()

    assert held(breaker) is not None


def test_a_hold_that_ran_out_leaves_each_to_its_own_breaker():
    make_policy()
    breaker = a_breaker("a", "b")
    Override.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    expire_due()

    comes_due(breaker)

    assert held(breaker) is None
    case = PolicyCase.objects.get()
    assert (case.phase, case.openings) == ("watching", {})


def test_it_holds_no_more_breakers_than_it_may():
    make_policy(max_breakers=2)
    breakers = [a_breaker("a", "b", service=f"service-{n}") for n in range(4)]

    assert sum(held(one) is not None for one in breakers) == 2
    blocked = PolicyCase.objects.filter(phase="watching").values_list("blocked", flat=True)
    assert set(blocked) == {"It holds 2 of at most 2 breakers already."}


def test_a_place_that_is_free_again_is_taken_by_one_that_waits():
    make_policy(max_breakers=1)
    first, second = (a_breaker("a", "b", service=f"service-{n}") for n in range(2))
    release_breaker(first, reason="not now", by=make_actor(), now=timezone.now())

    PolicyCase.objects.update(check_at=timezone.now())
    evaluate_pending()

    assert held(first) is None
    assert held(second) is not None


def test_one_of_two_policies_holds_and_the_other_waits():
    make_policy("first")
    make_policy("second")

    breaker = a_breaker("a", "b")

    override = held(breaker)
    assert override is not None
    assert override.by_name == "first"
    assert PolicyCase.objects.get(policy__name="second").blocked == "first holds it already."


def test_it_is_about_what_its_matchers_and_its_makers_limits_name():
    make_policy(
        matchers=['service=~"ord.*"', 'target!="users"'], by=make_actor(environments=["prod"])
    )

    assert held(a_breaker("a", "b")) is not None
    assert held(a_breaker("a", "b", service="billing")) is None
    assert held(a_breaker("a", "b", target="users")) is None
    assert held(a_breaker("a", "b", environment="staging")) is None


def test_a_policy_made_during_an_outage_acts_at_once():
    breaker = make_breaker(instances=("a", "b", "c"), state="open")

    make_policy()
    evaluate_pending()

    assert held(breaker) is not None


def test_a_policy_that_is_off_does_nothing():
    make_policy(enabled=False)

    assert held(a_breaker("a", "b", "c")) is None
    assert not PolicyCase.objects.exists()


def test_a_breaker_that_goes_elsewhere_is_let_go():
    make_policy(matchers=['target="catalog"'])
    breaker = a_breaker("a", "b")
    Breaker.objects.filter(pk=breaker.pk).update(target="other")

    comes_due(breaker)

    assert held(breaker) is None
    assert not PolicyCase.objects.exists()


def test_a_command_in_between_does_not_make_it_let_go():
    make_policy()
    breaker = a_breaker("a", "b")
    command_breaker(breaker, command="trip", reason="x", by=make_actor(), now=timezone.now())

    comes_due(breaker)

    probing = held(breaker)
    assert probing is not None
    assert len(probing.excepted) == 1


def test_new_instances_are_held_too_while_it_probes():
    make_policy()
    breaker = a_breaker("a", "b")
    comes_due(breaker)
    make_instance(breaker, "d")

    probing = held(breaker)
    assert probing is not None
    assert probing.instances is None
    assert "d" not in probing.excepted


# Suggestions.


def test_a_policy_that_suggests_raises_one_incident_and_holds_nothing():
    policy = make_policy(mode="suggest")
    breaker = a_breaker("a", "b")
    opens(breaker, "c")

    assert held(breaker) is None
    incident = Incident.objects.get()
    assert (incident.policy, incident.rule, incident.status) == (policy, None, "firing")
    assert incident.summary == (
        f"orders/{breaker.name}: 2 of 3 instances opened within 60 s in prod"
    )


def test_a_suggestion_is_over_once_the_breaker_has_closed():
    make_policy(mode="suggest")
    breaker = a_breaker("a", "b")

    for name in ("a", "b"):
        happens(breaker, "closed", instance=name)
    evaluate_pending()

    assert Incident.objects.get().status == "resolved"
    opens(breaker, "a", "b")
    assert [one.status for one in Incident.objects.order_by("id")] == ["resolved", "firing"]
