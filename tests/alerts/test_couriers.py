"""Sending in threads: bounded, and fair to channels that are quick."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from alerts import outbound
from alerts.channels.webhook import Webhook
from alerts.couriers import Couriers
from alerts.evaluate import evaluate_pending
from alerts.messages import Message
from alerts.models import Attempt, Channel, Delivery
from alerts.sentences import Opening
from breakers.wire import Summary
from tests.support.eventually import eventually
from tests.support.make import happens, make_breaker, make_channel, make_rule

pytestmark = pytest.mark.django_db(transaction=True)


class BlackHole:
    """Accepts and never answers, until it is closed."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.held: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self.held.append(self._server.accept()[0])
        except OSError:
            return

    def close(self) -> None:
        """Whoever waits is cut off, and whoever comes is refused."""
        self._server.close()
        for peer in self.held:
            peer.close()


@pytest.fixture
def black_hole() -> Iterator[BlackHole]:
    made = BlackHole()
    yield made
    made.close()


def test_ten_dead_channels_never_delay_a_live_one(
    black_hole: BlackHole, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
):
    # None of the dead ones is given up before all of the live one's are sent.
    monkeypatch.setattr(outbound.post, "__kwdefaults__", {"total_s": 90.0})
    httpserver.expect_request("/hook").respond_with_data("", status=200)
    live = make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")})
    dead = [make_channel(kind="webhook", config={"url": black_hole.url}) for _ in range(10)]
    make_rule(channels=[*dead, live])
    for number in range(20):
        happens(make_breaker(target=f"target-{number}"), "open")
    evaluate_pending()
    couriers = Couriers()

    runner = threading.Thread(target=couriers.run, kwargs={"budget_s": 60})
    runner.start()
    try:
        eventually(
            lambda: Delivery.objects.filter(channel=live, status="sent").count() == 20, within=60
        )
        assert not Attempt.objects.exclude(delivery__channel=live).exists()
    finally:
        # Nothing more is due then, and what is under way ends.
        Channel.objects.exclude(pk=live.pk).update(enabled=False)
        black_hole.close()
        runner.join()


@pytest.mark.parametrize(
    ("took_ms", "slow_s"),
    [
        pytest.param(None, 60.0, id="never tried before"),
        pytest.param(13_000, 60.0, id="slow, as the last time"),
        pytest.param(5, 0.05, id="quick until now"),
    ],
)
def test_more_slow_channels_than_there_are_slots_never_delay_a_quick_one(
    black_hole: BlackHole,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    took_ms: int | None,
    slow_s: float,
):
    monkeypatch.setattr(outbound.post, "__kwdefaults__", {"total_s": 90.0})
    httpserver.expect_request("/hook").respond_with_data("", status=200)
    slow = [make_channel(kind="webhook", config={"url": black_hole.url}) for _ in range(3)]
    quick = make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")})
    Channel.objects.update(last_took_ms=took_ms)
    Channel.objects.filter(pk=quick.pk).update(last_took_ms=5)
    make_rule(channels=slow, matchers=['target="slow"'])
    make_rule(channels=[quick], matchers=['target=~"quick.*"'])
    happens(make_breaker(target="slow"), "open")
    evaluate_pending()
    couriers = Couriers(slots=2, slow_s=slow_s)

    runner = threading.Thread(target=couriers.run, kwargs={"budget_s": 60})
    runner.start()
    try:
        eventually(lambda: len(black_hole.held) >= 2)
        for number in range(4):
            happens(make_breaker(target=f"quick-{number}"), "open")
        evaluate_pending()
        eventually(
            lambda: Delivery.objects.filter(channel=quick, status="sent").count() == 4, within=20
        )
        assert not Attempt.objects.exclude(delivery__channel=quick).exists()
    finally:
        Channel.objects.exclude(pk=quick.pk).update(enabled=False)
        black_hole.close()
        runner.join()


def test_a_run_while_another_runs_returns_at_once_and_is_heard(httpserver: HTTPServer):
    entered, leave = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        entered.set()
        leave.wait(5)
        return Response("", 200)

    httpserver.expect_request("/hook").respond_with_handler(answer)
    make_rule(channels=[make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")})])
    happens(make_breaker(target="a"), "open")
    evaluate_pending()
    couriers = Couriers()

    runner = threading.Thread(target=couriers.run)
    runner.start()
    assert entered.wait(5)
    happens(make_breaker(target="b"), "open")
    evaluate_pending()
    assert couriers.run() == 0  # at once, for nobody lets the first one go until here
    leave.set()
    runner.join(10)

    assert Delivery.objects.filter(status="sent").count() == 2


@pytest.mark.parametrize("fault", ["render", "a body that cannot be stored", "message"])
def test_a_delivery_that_cannot_be_put_together_fails_alone(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, fault: str
):
    httpserver.expect_request("/hook").respond_with_data("", status=200)
    make_rule(channels=[make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")})])
    for target in ("bad", "good"):
        happens(make_breaker(target=target), "open")
    evaluate_pending()
    bad = Delivery.objects.get(incident__target="bad")
    if fault == "message":
        Delivery.objects.filter(pk=bad.pk).update(message={"type": 7})
    plain = Webhook.render

    def faulty(
        self: Webhook,
        message: Message,
        breakers: Sequence[Summary],
        openings: Mapping[str, Opening],
    ) -> str:
        if message.incident is not None and message.incident.target == "bad":
            if fault == "render":
                raise ZeroDivisionError
            return "\0"
        return plain(self, message, breakers, openings)

    monkeypatch.setattr(Webhook, "render", faulty)

    assert Couriers().run(budget_s=5) == 2

    bad.refresh_from_db()
    assert (bad.status, bad.attempts, bad.body) == ("pending", 1, None)
    assert bad.detail.startswith("The message could not be put together")
    assert Delivery.objects.get(incident__target="good").status == "sent"


def test_one_channel_has_few_attempts_at_once(httpserver: HTTPServer):
    lock, most, now = threading.Lock(), 0, 0

    def answer(request: Request) -> Response:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return Response("", 200)

    httpserver.expect_request("/hook").respond_with_handler(answer)
    make_rule(channels=[make_channel(kind="webhook", config={"url": httpserver.url_for("/hook")})])
    for number in range(10):
        happens(make_breaker(target=f"t{number}"), "open")
    evaluate_pending()

    assert Couriers().run() == 10
    assert most <= 4


def test_an_attempt_cut_off_by_the_end_of_a_run_is_written_by_the_next(
    black_hole: BlackHole, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outbound.post, "__kwdefaults__", {"total_s": 0.8})
    make_rule(channels=[make_channel(kind="webhook", config={"url": black_hole.url})])
    happens(make_breaker(), "open")
    evaluate_pending()
    couriers = Couriers()

    assert couriers.run(budget_s=0.2) == 0
    assert eventually(lambda: couriers.run(budget_s=0.2), within=3) == 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert "No answer" in delivery.detail
