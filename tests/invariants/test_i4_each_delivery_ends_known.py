"""I4: a delivery is attempted until it succeeds, is superseded by a newer one of its incident, or is dead
where an operator sees it; its id is the same at every attempt."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from alerts.channels import Failed, Outcome, Sent
from alerts.deliver import Claimed, Speed, bury, claim_due, finish
from alerts.evaluate import evaluate_pending
from alerts.incidents import acknowledge_incident, end_incident
from alerts.models import Channel, Delivery, Incident
from breakers.clock import database_now
from tests.support import alert_worker
from tests.support.eventually import eventually
from tests.support.make import happens, make_actor, make_breaker, make_channel, make_rule
from tests.support.stops import stop_at

pytestmark = pytest.mark.django_db(transaction=True)


class Receiver:
    """A webhook receiver that notes what came, and that a test can hold up."""

    def __init__(self, httpserver: HTTPServer) -> None:
        self.ids: list[str] = []
        self.bodies: list[bytes] = []
        self.hold = threading.Event()
        self.hold.set()
        httpserver.expect_request("/hook").respond_with_handler(self._answer)
        self.url = httpserver.url_for("/hook")

    def _answer(self, request: Request) -> Response:
        self.ids.append(request.headers["webhook-id"])
        self.bodies.append(request.data)
        self.hold.wait(20)
        return Response("", 200)


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Iterator[Receiver]:
    made = Receiver(httpserver)
    yield made
    made.hold.set()


def one_delivery(url: str) -> Delivery:
    make_rule(channels=[make_channel(kind="webhook", config={"url": url})])
    happens(make_breaker(), "open")
    evaluate_pending()
    return Delivery.objects.get()


def lease_runs_out() -> None:
    Delivery.objects.filter(leased_until__isnull=False).update(leased_until=database_now())


def test_killed_while_sending_it_is_sent_again_with_the_same_id(receiver: Receiver):
    delivery = one_delivery(receiver.url)
    receiver.hold.clear()

    worker = alert_worker.start("deliver")
    eventually(lambda: len(receiver.ids) == 1, within=20)
    alert_worker.kill(worker)
    receiver.hold.set()

    delivery.refresh_from_db()
    assert delivery.status == "pending"
    alert_worker.run("deliver")
    assert len(receiver.ids) == 1  # the lease of the dead worker still stands

    lease_runs_out()
    alert_worker.run("deliver")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("sent", 2)
    assert len(set(receiver.ids)) == 1
    assert len(set(receiver.bodies)) == 1


@pytest.mark.parametrize(
    ("table", "when", "received"),
    [
        ("delivery", "BEFORE UPDATE", 0),  # the claim is not committed: nothing was sent
        ("delivery_attempt", "BEFORE INSERT", 1),  # between the receiver's 2xx and the commit
        ("delivery_attempt", "AT COMMIT", 1),
    ],
)
def test_killed_at_any_statement_it_is_neither_lost_nor_given_another_id(
    superuser_url: str, receiver: Receiver, table: str, when: str, received: int
):
    delivery = one_delivery(receiver.url)

    with stop_at(superuser_url, table, when) as stop:
        worker = alert_worker.start("deliver")
        stop.reached()
        alert_worker.kill(worker)
        stop.gone()
    assert len(receiver.ids) == received

    lease_runs_out()
    alert_worker.run("deliver")

    delivery.refresh_from_db()
    assert delivery.status == "sent"
    assert receiver.ids == [f"msg_{delivery.message_id.hex}"] * (received + 1)
    assert delivery.log.count() == 1


def test_two_workers_send_each_message_once(receiver: Receiver):
    make_rule(
        channels=[make_channel(kind="webhook", config={"url": receiver.url})], group_by=["breaker"]
    )
    for _ in range(30):
        happens(make_breaker(), "open")
    evaluate_pending()

    workers = [alert_worker.start("deliver") for _ in range(2)]
    for worker in workers:
        alert_worker.finish(worker)

    assert len(receiver.ids) == len(set(receiver.ids)) == 30
    assert not Delivery.objects.exclude(status="sent").exists()


class Deliveries(RuleBasedStateMachine):
    """Messages are posted, workers claim, finish, die or come back too late, and time goes by."""

    @initialize()
    def begin(self) -> None:
        Channel.objects.update(enabled=False)
        Delivery.objects.all().delete()
        self.now = database_now()
        self.hands: list[Claimed] = []
        self.ids: dict[int, str] = {}
        self.bodies: dict[int, str] = {}
        self.received: dict[tuple[int, int], list[int]] = defaultdict(list)
        self.channels = [
            make_channel(kind="webhook", config={"url": "http://127.0.0.1:1/"}) for _ in range(2)
        ]
        self.rule = make_rule(channels=self.channels)
        self.breakers = [make_breaker(target=f"{self.rule.pk}-{n}") for n in range(2)]

    @rule(which=st.integers(0, 1), state=st.sampled_from(["open", "closed"]))
    def something_happens(self, which: int, state: str) -> None:
        happens(self.breakers[which], state)
        evaluate_pending()

    @rule(end=st.booleans())
    def an_operator_acts(self, end: bool) -> None:
        incident = Incident.objects.filter(rule=self.rule, resolved_at=None).first()
        if incident is None:
            return
        if end:
            with transaction.atomic():
                locked = Incident.objects.select_for_update().get(pk=incident.pk)
                end_incident(locked, text="", by_name="ada", now=database_now())
        else:
            acknowledge_incident(incident.pk, by=make_actor(), note="", now=database_now())

    @rule(speed=st.sampled_from(Speed), each=st.integers(1, 3))
    def a_worker_claims(self, speed: Speed, each: int) -> None:
        for one in claim_due(now=self._at(), limit=10, each=each, speed=speed):
            assert one.parcel is not None
            assert self.ids.setdefault(one.id, one.parcel.id) == one.parcel.id
            assert self.bodies.setdefault(one.id, one.parcel.body) == one.parcel.body
            self.hands.append(one)

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            [Sent(200, "ok"), Failed(503, "no"), Failed(None, "late", retry_after=90.0)]
        ),
    )
    def an_attempt_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        one = self.hands.pop(data.draw(st.integers(0, len(self.hands) - 1)))
        row = Delivery.objects.get(pk=one.id)
        if isinstance(outcome, Sent):
            assert row.incident_id is not None
            self.received[row.incident_id, row.channel_id].append(one.id)
        finish(one, outcome, took_ms=1, now=self._at(), luck=0.5)
        if row.fence != one.fence:
            after = Delivery.objects.get(pk=one.id)
            assert (after.status, after.due_at) == (row.status, row.due_at)

    @precondition(lambda self: self.hands)
    @rule()
    def a_worker_dies(self) -> None:
        self.hands.pop(0)

    @rule(seconds=st.sampled_from([1, 3, 61, 400, 4000, 100_000]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def what_is_finished_says_how(self) -> None:
        for row in Delivery.objects.filter(channel__in=self.channels):
            assert (row.status == "pending") == (row.finished_at is None)
            if row.status == "superseded":
                newer = row.superseded_by
                assert newer is not None
                assert newer.pk > row.pk
                assert (newer.incident_id, newer.channel_id) == (row.incident_id, row.channel_id)
                assert row.detail
            if row.status == "dead":
                assert row.detail

    @invariant()
    def one_message_of_an_incident_is_under_way_to_a_channel(self) -> None:
        leased = Delivery.objects.filter(
            channel__in=self.channels, leased_until__gt=self._at()
        ).values_list("incident_id", "channel_id")
        assert len(leased) == len(set(leased))

    @invariant()
    def every_incident_that_was_told_of_is_told_to_the_end(self) -> None:
        for incident in Incident.objects.filter(rule=self.rule, resolved_at__isnull=False):
            types = list(incident.deliveries.order_by("id").values_list("type", flat=True))
            assert types.count("incident.firing") == types.count("incident.resolved") == 2

    def teardown(self) -> None:
        """Once the receivers answer, all that waits is sent, and for each place in order."""
        if not hasattr(self, "channels"):
            return
        self.hands.clear()
        for _ in range(50):
            self.now += timedelta(seconds=4000)
            bury(self._at())
            for speed in Speed:
                for one in claim_due(now=self._at(), limit=50, each=9, speed=speed):
                    row = Delivery.objects.get(pk=one.id)
                    assert row.incident_id is not None
                    self.received[row.incident_id, row.channel_id].append(one.id)
                    finish(one, Sent(200, "ok"), took_ms=1, now=self._at(), luck=0.5)
            if not Delivery.objects.filter(channel__in=self.channels, status="pending").exists():
                break
        assert not Delivery.objects.filter(channel__in=self.channels, status="pending").exists()
        for told in self.received.values():
            first_time = list(dict.fromkeys(told))
            assert first_time == sorted(first_time)
        self.rule.enabled = False
        self.rule.save()

    def _at(self) -> datetime:
        self.now = max(self.now, database_now())
        return self.now


def test_whatever_happens_each_delivery_ends_known():
    machine = settings(
        max_examples=20,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Deliveries, settings=machine)
