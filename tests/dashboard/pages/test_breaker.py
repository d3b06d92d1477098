"""The breaker page in an outage: since when, why, what was tried, and what hands did."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from breakers.access import Actor
from breakers.desired.command import command_breaker
from breakers.desired.override import OverrideWish, override_breaker, release_breaker
from breakers.desired.plan import plan_override
from breakers.models import Breaker, BreakerInstance, Instance, Override, Role
from breakers.states import Mode
from dashboard.pages.events import READ_MOST
from tests.breakers.guards.callers import decide, force, limit, person, release
from tests.dashboard.pages.test_pages import signed_in, text_of
from tests.support.make import make_actor, make_breaker, make_event

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)

CLOCK = r"(?:\d+ \w+, )?[\d:]+"  # with its day where that is not today


@pytest.fixture
def viewer() -> Iterator[Client]:
    return signed_in(Role.VIEWER)


def probing(*, probes: int = 1, every: timedelta = 5 * SECOND) -> Breaker:
    """Open since its trip, and probed in vain so often since then; the last probe was just now."""
    breaker = make_breaker("catalog-api", state="open")
    trip = timezone.now() - probes * every
    make_event(
        breaker,
        "open",
        before="closed",
        at=trip,
        detail="3 failures in a row",
        metrics={"calls": 32, "failure_rate": 9.4, "window": 8},
    )
    for n in range(1, probes + 1):
        make_event(breaker, "half_open", before="open", at=trip + n * every)
        make_event(breaker, "open", before="half_open", at=trip + n * every, detail="it failed")
    BreakerInstance.objects.filter(breaker=breaker).update(not_closed_since=trip)
    return breaker


def said(page: str) -> str:
    """The page as it reads."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def rows(page: str) -> list[str]:
    """The rows of the events, as they read."""
    [table] = re.findall(r'<table class="events">.*?<tbody>(.*?)</tbody>', page, re.S)
    return [said(row) for row in re.findall(r"<tr.*?</tr>", table, re.S)]


def link(page: str, name: str) -> str:
    """Where the link of this name leads, without its anchor."""
    [href] = re.findall(rf'href="([^"]*)"[^>]*>{name}<', page)
    return html.unescape(href).split("#")[0]


@pytest.mark.parametrize("path", ["/", "/breakers/{}/"])
def test_an_open_breaker_says_when_its_probe_is_due(viewer: Client, path: str) -> None:
    breaker = make_breaker("catalog-api", state="open")
    held = BreakerInstance.objects.filter(breaker=breaker)
    due = timezone.now() - 20 * SECOND

    held.update(probe_due_at=due)
    shown = said(text_of(viewer, path.format(breaker.pk)))
    assert re.search(r"Open .* probe due since [^.]*, no traffic", shown)

    held.update(probe_due_at=due + 600 * SECOND)
    shown = said(text_of(viewer, path.format(breaker.pk)))
    assert re.search(r"Open .* probe due in 9 min \d\d s", shown)


def test_the_trip_and_its_reason_stay_in_sight_however_often_it_is_probed(viewer: Client) -> None:
    breaker = probing(probes=60)

    shown = rows(text_of(viewer, f"/breakers/{breaker.pk}/"))

    assert len(shown) == 2
    assert "probed 60 times, still failing, last just now" in shown[0]
    assert "3 failures in a row" in shown[1]


def test_since_when_counts_from_the_trip_on_every_page(viewer: Client) -> None:
    breaker = probing(probes=60)

    for path in ("/", f"/breakers/{breaker.pk}/"):
        assert re.search(r"5 min 0\d s", said(text_of(viewer, path))), path


def test_why_it_opened_is_told_with_its_figures_and_what_others_say(viewer: Client) -> None:
    breaker = probing(probes=READ_MOST // 2 + 50)
    make_breaker("main", service="feed", state="closed")

    page = said(text_of(viewer, f"/breakers/{breaker.pk}/"))

    assert "Why it opened" in page
    assert "3 failures in a row failure rate 9.4% calls 32 in 8 s" in page
    assert "The other breaker on catalog is closed: it looks like this caller" in page


def test_a_closed_breaker_has_nothing_to_explain(viewer: Client) -> None:
    page = text_of(viewer, f"/breakers/{make_breaker().pk}/")

    assert "Why it opened" not in page


def test_older_events_are_a_page_of_their_own_that_stands_still(viewer: Client) -> None:
    breaker = make_breaker("flapping")
    now = timezone.now()
    for n in range(100):
        before, to = ("closed", "open") if n % 2 else ("open", "closed")
        make_event(breaker, to, before=before, at=now - n * SECOND, detail=f"event {n}.")
    path = f"/breakers/{breaker.pk}/"

    seen, at = [], path
    while True:
        page = text_of(viewer, at)
        seen += re.findall(r"event \d+\.", page)
        assert ('id="breaker-events" data-refresh=' in page) == (at == path)
        if ">Older<" not in page:
            break
        at = path + link(page, "Older")

    assert seen == [f"event {n}." for n in range(100)]
    assert path + link(page, "Newest") == path + "?"


def test_each_event_of_a_run_can_be_read_one_by_one(viewer: Client) -> None:
    breaker = probing(probes=60)
    path = f"/breakers/{breaker.pk}/"

    page = text_of(viewer, path + link(text_of(viewer, path), "All 120, each in a row of its own"))
    older = text_of(viewer, path + link(page, "Older"))

    assert (len(rows(page)), len(rows(older))) == (50, 50)
    assert "probed" not in " ".join(rows(page) + rows(older))
    assert "events=each" in link(older, "Older")


def test_a_run_that_a_page_cuts_counts_what_is_on_the_page_and_says_so(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.pages.events.READ_MOST", 30)
    path = f"/breakers/{probing(probes=40).pk}/"

    said_of_runs, at = [], path
    while True:
        page = text_of(viewer, at)
        said_of_runs += re.findall(r"probed \d+ times(?: on this page)?", page)
        if ">Older<" not in page:
            break
        at = path + link(page, "Older")

    assert said_of_runs == [f"probed {count} times on this page" for count in (15, 15, 10)]


@pytest.mark.parametrize("odd", ["x", "1" * 400, "é"])
def test_a_cursor_that_is_none_leads_nowhere(viewer: Client, odd: str) -> None:
    breaker = make_breaker()

    page = text_of(viewer, f"/breakers/{breaker.pk}/?before={odd}", HTTPStatus.NOT_FOUND)

    assert "Nothing is here" in page


def forced(breaker: Breaker, *, reason: str, by: str, now: datetime) -> Override:
    wish = OverrideWish(mode=Mode.FORCED_OPEN, reason=reason, expires_at=None)
    return override_breaker(breaker, wish=wish, by=make_actor(name=by), now=now)


def test_why_an_override_was_released_stands_where_it_stood(viewer: Client) -> None:
    breaker, now = make_breaker(), timezone.now()
    forced(breaker, reason="provider is bouncing", by="ana", now=now - 60 * SECOND)
    release_breaker(breaker, reason="provider is back", by=make_actor(name="bo"), now=now)

    page = said(text_of(viewer, f"/breakers/{breaker.pk}/"))
    overrides = said(text_of(viewer, "/overrides/"))

    assert "for 1 min 00 s: “provider is bouncing”" in page
    assert re.search(rf"Released by bo at {CLOCK} : “provider is back”", page)
    assert re.search(r"released just now by bo: provider is back", overrides)


def test_why_an_override_was_replaced_is_the_next_ones_reason(viewer: Client) -> None:
    breaker, now = make_breaker(), timezone.now()
    forced(breaker, reason="first", by="ana", now=now)
    forced(breaker, reason="second", by="bo", now=now)

    assert "replaced just now by bo: second" in said(text_of(viewer, "/overrides/"))


def test_an_override_that_ran_out_was_ended_by_nobody(viewer: Client) -> None:
    breaker = make_breaker()
    override = forced(breaker, reason="for a while", by="ana", now=timezone.now())
    Override.objects.filter(pk=override.pk).update(ended_at=timezone.now(), end="expired")

    overrides = said(text_of(viewer, "/overrides/"))

    assert "expired just now" in overrides
    assert "just now by" not in overrides


def test_a_trip_by_hand_says_who_and_why_to_everybody_who_sees_the_breaker(viewer: Client) -> None:
    breaker = make_breaker()
    for command in ("trip", "reset"):
        command_breaker(
            breaker,
            command=command,
            reason=f"why {command}",
            by=make_actor(name="ana"),
            now=timezone.now(),
        )

    page = said(text_of(viewer, f"/breakers/{breaker.pk}/"))

    assert re.search(rf"Reset by ana at {CLOCK} : “why reset”", page)
    assert re.search(rf"Tripped by ana at {CLOCK} : “why trip”", page)


def test_what_a_hand_did_says_where_until_when_who_approved_it_and_that_glass_was_broken(
    viewer: Client,
) -> None:
    breaker = make_breaker(instances=("a", "b", "c"))
    limit(guard={"max_forced_percent": 0}, four_eyes={"above": 0})
    ada = person("ada")
    wish = {"instances": ["a", "b"], "break_glass": "max_forced_percent"}
    asked = force(ada, breaker, **wish).json()["id"]
    decide(person("bea"), asked)
    path = f"/breakers/{breaker.pk}/"
    how = "on a, b"

    stands = said(text_of(viewer, path))
    release(ada, breaker)
    over = said(text_of(viewer, path))

    assert re.search(
        rf"Forced open by ada at {CLOCK} {how}, until {CLOCK} , approved by bea: “maintenance” "
        r"⚠ The glass was broken: past the guard max_forced_percent",
        stands,
    )
    last = over.partition("Last override")[2]
    assert re.search(rf"by ada at {CLOCK} {how}, approved by bea, for", last)
    assert "The glass was broken: it got past the guard max_forced_percent." in last
    assert re.search(rf"Released by ada at {CLOCK} : “over”", over)


def test_a_trip_of_some_instances_names_them(viewer: Client) -> None:
    breaker = make_breaker(instances=("a", "b"))
    by, now = make_actor(name="ana"), timezone.now()
    command_breaker(breaker, command="trip", reason="one", by=by, now=now, instances=["a"])

    assert re.search(
        rf"Tripped by ana at {CLOCK} on a: “one”", said(text_of(viewer, f"/breakers/{breaker.pk}/"))
    )


def test_a_breaker_that_nobody_can_force_says_so_before_and_after() -> None:
    breaker = make_breaker()  # known by events alone
    operator = signed_in(Role.OPERATOR)

    before = said(text_of(operator, f"/breakers/{breaker.pk}/"))
    forced(breaker, reason="x", by="ana", now=timezone.now())
    after = text_of(operator, f"/breakers/{breaker.pk}/")

    assert "Force open although nobody obeys" in before
    assert "by ana, and nobody obeys: it has no agent." in said(after)
    assert "0 of 1 applied, 1 cannot obey" in said(after)
    assert "cannot obey: known by its events alone" in said(after)
    assert 'data-deaf="1"' in after


def test_a_policys_last_probe_which_leaves_out_all_does_not_count_to_nothing(
    viewer: Client,
) -> None:
    breaker = make_breaker(instances=["a"])
    fleet = Actor(kind="policy", id=7, name="fleet", can=frozenset())
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN, reason="Probing with a", expires_at=None, excepted=("a",)
    )
    override_breaker(breaker, wish=wish, by=fleet, now=timezone.now())

    page = said(text_of(viewer, f"/breakers/{breaker.pk}/"))

    assert "0 of 0" not in page
    assert (
        "Forced open by policy fleet: on no live instance. Each instance follows its own judgement."
    ) in page
    assert "Forced open by policy fleet at" in page  # among who did what


def test_an_override_whose_time_is_over_is_not_said_to_hold_what_dropped_it(viewer: Client) -> None:
    breaker = make_breaker()
    Instance.objects.update(connected=True)
    overridden(breaker)
    # Its instance confirmed it, and dropped it at its end; the panel has not noted the end yet.
    BreakerInstance.objects.update(applied_revision=breaker.overrides.get().revision)
    Override.objects.update(expires_at=timezone.now())

    page = text_of(viewer, f"/breakers/{breaker.pk}/")

    assert '<b class="word">Closed</b>' in page
    assert "Closed in the one instance. Calls to catalog go through." in said(page)


def test_what_is_planned_stands_on_the_page_and_says_what_it_waits_for(viewer: Client) -> None:
    breaker, now = make_breaker(), timezone.now()
    wish = OverrideWish(
        mode=Mode.FORCED_OPEN, reason="they move", expires_at=None, starts_at=now + 3600 * SECOND
    )
    plan_override(breaker, wish=wish, by=make_actor(name="ana"), now=now)

    alone = said(text_of(viewer, f"/breakers/{breaker.pk}/"))
    forced(breaker, reason="newer", by="bo", now=now)
    beside = said(text_of(viewer, f"/breakers/{breaker.pk}/"))

    assert "Planned: forced open begins in 59 min “they move” by ana" in alone
    assert "Cancel it" not in alone
    assert "The override of bo, made after it, is the newer decision" in beside
    assert "A plan of ana waits: after a release the breaker is forced open again" in beside
    assert "A plan of ana waits" not in alone


@pytest.mark.parametrize("change", ["begins", "ends"])
def test_the_page_reads_well_whenever_meanwhile_an_override_begins_or_ends(
    viewer: Client, change: str
) -> None:
    breaker, now = make_breaker(), timezone.now()
    forced(breaker, reason="an earlier one", by="ana", now=now)
    if change == "begins":
        release_breaker(breaker, reason="over", by=make_actor(), now=now)

    def after(question: int) -> int:
        """Lets it happen after this question to the database; returns how many the page has asked."""
        asked = 0

        def between(execute: Any, *call: Any) -> Any:
            nonlocal asked
            answer = execute(*call)
            asked += 1
            if asked == question and change == "begins":
                forced(breaker, reason="meanwhile", by="bo", now=now)
            elif asked == question:
                release_breaker(breaker, reason="meanwhile", by=make_actor(), now=now)
            return answer

        with transaction.atomic(), connection.execute_wrapper(between):
            assert viewer.get(f"/breakers/{breaker.pk}/").status_code == HTTPStatus.OK
            transaction.set_rollback(True)
        return asked

    alone = after(0)
    for question in range(1, alone + 1):
        assert after(question) > alone


def overridden(breaker: Breaker) -> int:
    """The revision of an override that forces it open."""
    wish = OverrideWish(mode=Mode.FORCED_OPEN, reason="maintenance", expires_at=None)
    return override_breaker(breaker, wish=wish, by=make_actor(), now=timezone.now()).revision


def instances_row(viewer: Client, breaker: Breaker) -> str:
    page = viewer.get(f"/breakers/{breaker.pk}/").content.decode()
    [table] = re.findall(r'class="instances">.*?<tbody>(.*?)</tbody>', page, re.S)
    return said(table)


def inside(viewer: Client, breaker: Breaker) -> dict[str, Any]:
    [one] = viewer.get(f"/api/v1/breakers/{breaker.pk}/instances").json()["items"]
    return dict(one)


def test_an_instance_that_has_not_applied_what_is_wanted_says_so(viewer: Client):
    breaker = make_breaker()
    Instance.objects.update(connected=True)
    revision = overridden(breaker)

    row = instances_row(viewer, breaker)

    assert f"0 of {revision} applied of wanted" in row
    assert f"≠ waiting for revision {revision}" in row
    assert "✓ connected" in row
    told = inside(viewer, breaker)
    assert told["wanted"] == "forced_open"
    assert told["drift"]["kind"] == "behind"
    assert told["drift"]["since"]


def test_a_refusal_stays_listed_after_a_later_success(viewer: Client):
    breaker = make_breaker()
    Instance.objects.update(connected=True)
    first, second = overridden(breaker), overridden(breaker)
    refused = {
        "refused_revision": first,
        "refused_error": "read-only",
        "refused_at": timezone.now(),
    }
    BreakerInstance.objects.update(**refused)
    assert f"refused revision {first} once at" in instances_row(viewer, breaker)
    BreakerInstance.objects.update(
        applied_revision=second, state="forced_open", natural_state="half_open"
    )

    row = instances_row(viewer, breaker)

    assert "✓ as wanted" in row
    assert f"refused revision {first} once at" in row
    assert "read-only" in row
    assert "by itself half open" in row
    told = inside(viewer, breaker)
    assert told["drift"] is None
    assert told["apply_error"] is None
    assert told["last_refusal"]["error"] == "read-only"


def test_a_state_that_contradicts_a_confirmed_override_is_drift(viewer: Client):
    breaker = make_breaker()
    Instance.objects.update(connected=True)
    BreakerInstance.objects.update(applied_revision=overridden(breaker))

    assert "≠ closed, though forced open is wanted" in instances_row(viewer, breaker)
    assert inside(viewer, breaker)["drift"]["kind"] == "contradicts"


def test_one_known_by_its_events_alone_takes_no_wishes(viewer: Client):
    breaker = make_breaker()

    assert "known by its events alone" in instances_row(viewer, breaker)
    overridden(breaker)
    assert "cannot obey: known by its events alone" in instances_row(viewer, breaker)


def test_of_an_instance_that_is_not_connected_nothing_is_claimed(viewer: Client):
    breaker = make_breaker()
    BreakerInstance.objects.update(applied_revision=overridden(breaker), state="forced_open")
    Instance.objects.update(connected=False)

    row = instances_row(viewer, breaker)

    assert "as wanted when last heard" in row
    assert "✓ as wanted" not in row


def test_an_event_under_a_hold_tells_what_the_breaker_is_by_itself() -> None:
    breaker = make_breaker(state="forced_open")
    make_event(
        breaker,
        "forced_open",
        before="forced_open",
        at=timezone.now(),
        detail="8 s have passed: trial calls go through",
        natural_state="half_open",
        reason="wait_over",
    )

    page = text_of(signed_in(Role.VIEWER), f"/breakers/{breaker.pk}/")

    assert "by itself half open: its wait is over" in page
    assert "trial calls go through" not in page


def test_the_trip_is_what_began_the_outage_though_a_probe_followed_at_once() -> None:
    breaker = make_breaker(state="half_open")
    began = timezone.now() - 5 * SECOND
    at = began + timedelta(microseconds=93)
    make_event(breaker, "open", before="closed", at=began, detail="5 failures in a row")
    make_event(breaker, "half_open", before="open", at=at, detail="the wait was short")
    BreakerInstance.objects.update(since=at, not_closed_since=began)

    page = text_of(signed_in(Role.VIEWER), f"/breakers/{breaker.pk}/")

    [beginning] = re.findall(r'<section class="card beginning".*?</section>', page, re.S)
    assert "5 failures in a row" in beginning
