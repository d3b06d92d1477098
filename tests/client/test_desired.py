"""Revisions, expiry and commands: I5 and I6 from the agent's side, whatever order frames come in."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from panelboard_client.desired import Standing, Step
from panelboard_client.wire import Command, Order

MODES = st.sampled_from([None, "forced_open", "forced_closed"])


def order(revision: int, mode: str | None = None, **more: object) -> Order:
    return Order(breaker="catalog", revision=revision, mode=mode, **more)  # type: ignore[arg-type]


def test_an_override_ends_when_its_seconds_are_over_and_not_before() -> None:
    standing = Standing()
    standing.receive(order(1, "forced_open", expires_in=10), now=100)

    assert standing.lapse(109.9) is False
    assert standing.lapse(110) is True
    assert standing.mode is None


def test_an_override_that_comes_with_no_time_left_never_stands() -> None:
    standing = Standing()

    assert standing.receive(order(1, "forced_open", expires_in=0), now=100) is Step.CONVERGE
    assert standing.mode is None


def test_the_same_revision_with_less_time_left_ends_sooner_and_never_later() -> None:
    standing = Standing()
    standing.receive(order(1, "forced_open", expires_in=60), now=0)
    standing.settle(None)

    standing.receive(order(1, "forced_open", expires_in=5), now=10)
    assert standing.until == 15
    standing.receive(order(1, "forced_open", expires_in=500), now=11)
    assert standing.until == 15


def test_a_revision_that_failed_is_tried_again_when_it_comes_again() -> None:
    standing = Standing()
    standing.receive(order(3, "forced_open"), now=0)
    standing.settle("the breaker would not")
    assert (standing.applied, standing.answerable()) == (None, 3)

    assert standing.receive(order(3, "forced_open"), now=1) is Step.CONVERGE
    standing.settle(None)
    assert (standing.applied, standing.error) == (3, None)


def test_an_older_revision_than_one_that_failed_is_not_put_into_effect() -> None:
    standing = Standing()
    standing.receive(order(3, "forced_open"), now=0)
    standing.settle("the breaker would not")

    assert standing.receive(order(2, "forced_closed"), now=1) is Step.ANSWER
    assert standing.mode == "forced_open"


def test_a_newer_command_replaces_one_that_waits() -> None:
    standing = Standing()
    standing.receive(order(1, command=Command("a", "trip", 60)), now=0)
    standing.receive(order(2, command=Command("b", "reset", 60)), now=1)

    assert standing.waiting is not None
    assert (standing.waiting.id, standing.waiting.until) == ("b", 61)


def test_a_child_of_a_fork_confirms_anew_and_keeps_the_override_meanwhile() -> None:
    standing = Standing()
    standing.receive(order(5, "forced_open", expires_in=60), now=0)
    standing.settle(None)

    standing.forget_answers()

    assert (standing.answerable(), standing.mode) == (None, "forced_open")
    assert standing.receive(order(5, None), now=1) is Step.CONVERGE
    assert standing.mode is None


class AgentUnderAnOddNetwork(RuleBasedStateMachine):
    """A panel orders; frames are lost, repeated and late; some orders fail; time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.standing = Standing()
        self.now = 0.0
        self.sent: list[tuple[Order, float]] = []
        """With the moment at which the override ends on the panel's own clock."""
        self.put_into_effect: list[int] = []
        self.ran: list[str] = []
        self.newest_in: Order | None = None
        self.ends_at = float("inf")

    @rule(
        mode=MODES,
        lasts=st.none() | st.floats(0, 30),
        command=st.none() | st.sampled_from(["trip", "reset"]),
        skipped=st.integers(0, 2),
    )
    def order(
        self, mode: str | None, lasts: float | None, command: str | None, skipped: int
    ) -> None:
        revision = (self.sent[-1][0].revision if self.sent else 0) + 1 + skipped
        given = None if command is None else Command(f"c{revision}", command, 60)
        ends_at = float("inf") if lasts is None else self.now + lasts
        self.sent.append((Order("catalog", revision, mode, "", lasts, given), ends_at))

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(0, 1000), works=st.booleans())
    def deliver(self, pick: int, works: bool) -> None:
        """Any order ever sent, as a server would send it again now."""
        sent, ends_at = self.sent[pick % len(self.sent)]
        left = None if sent.expires_in is None else ends_at - self.now
        again = Order("catalog", sent.revision, sent.mode, "", left, sent.command)

        step = self.standing.receive(again, self.now)

        if step is Step.CONVERGE:
            assert not self.put_into_effect or sent.revision > self.put_into_effect[-1]
            self.newest_in, self.ends_at = sent, ends_at
            waiting = self.standing.waiting
            if waiting is not None and works:
                self.ran.append(waiting.id)
                self.standing.ran(waiting.id)
            self.standing.settle(None if works else "would not")
            if works:
                self.put_into_effect.append(sent.revision)

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.standing.lapse(self.now)

    @rule()
    def fork(self) -> None:
        self.standing.forget_answers()
        self.put_into_effect.clear()
        self.newest_in = None

    @invariant()
    def revisions_only_grow(self) -> None:
        assert self.put_into_effect == sorted(set(self.put_into_effect))

    @invariant()
    def a_command_runs_once(self) -> None:
        assert len(set(self.ran)) == len(self.ran)

    @invariant()
    def no_override_outlives_its_end(self) -> None:
        if self.newest_in is not None:
            over = self.now >= self.ends_at + 1e-6
            assert self.standing.mode in ((None,) if over else (None, self.newest_in.mode))
            if self.now < self.ends_at - 1e-6:
                assert self.standing.mode == self.newest_in.mode

    @invariant()
    def what_is_answered_was_ordered(self) -> None:
        answer = self.standing.answerable()
        assert answer is None or answer in {sent.revision for sent, _ in self.sent}


AgentUnderAnOddNetwork.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None
)
TestAgentUnderAnOddNetwork = AgentUnderAnOddNetwork.TestCase
