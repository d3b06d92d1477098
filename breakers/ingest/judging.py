"""What events make of the breaker instances that a group touches, from what is known of those beforehand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import NamedTuple

import msgspec

from breakers.ingest.columns import Judged, Now, columns_of_outbox, columns_of_states
from breakers.ingest.remembered import Known
from breakers.ingest.row import Pair, Row
from breakers.states import Change, Held, State, transition


class Writing(NamedTuple):
    """Parameters of the states and of the outbox, where there are any."""

    states: dict[str, str] | None
    news: dict[str, str] | None


class Judging:
    """Breaker instances as far as the group has got."""

    def __init__(self) -> None:
        self.boots: dict[tuple[int, str], datetime] = {}
        """The beginnings of the boots of instances, where they are known."""
        self.changed: set[int] = set()
        """Breakers whose summary may differ now."""
        self.now: dict[Pair, Now] = {}
        """Those that were put in."""
        self._reranked: set[int] = set()
        """Instances whose boots have changed places: only history says what the last change is."""
        self._late: set[Pair] = set()
        self._unsure: dict[Pair, list[datetime]] = {}
        """Of which the order of ranks may not be that of times any more, and around when."""
        self._judged: list[Judged] = []
        self._written_up: Writing | None = None

    def put(self, known: Mapping[Pair, Known]) -> None:
        """What is known of breaker instances before anything of the group is judged of them."""
        for pair, one in known.items():
            self.put_one(pair, one)

    def put_one(self, pair: Pair, known: Known) -> Now:
        """The same of one; what the group has made of it so far."""
        held = known.held
        now = self.now[pair] = Now(held, known.metrics_at)
        if held is not None:
            last = held.last
            if last.boot is not None and last.boot_at is not None:
                self.boots[pair[1], last.boot] = last.boot_at
        return now

    def held(self, pair: Pair) -> Held | None:
        """Its state; None where nothing is known of it, and of one that was not put in."""
        now = self.now.get(pair)
        return now.held if now is not None else None

    @property
    def known(self) -> dict[Pair, Known]:
        """All that the group leaves behind."""
        return {pair: Known(now.held, now.metrics_at) for pair, now in self.now.items()}

    @property
    def is_in_order(self) -> bool:
        """Whether each change came after all that were there before."""
        return not (self._late or self._unsure)

    @property
    def sampled(self) -> set[int]:
        """Breakers of which new metrics came."""
        return {pair[0] for pair, now in self.now.items() if now.metrics is not None}

    def judge(self, rows: Iterable[Row]) -> None:
        """What each state change makes of the state, and what is said beside it."""
        self._written_up = None
        for row in rows:
            event, pair = row.event, row.pair
            now = self.now[pair]
            if (
                event.metrics is not None
                or event.library is not None
                or event.labels is not None
                or event.probe_due_at is not None
            ):
                self._note_said(now, row)
            if event.type != "state_change":
                continue
            before = now.held
            after = None
            if pair[1] not in self._reranked:
                after = transition(before, self._change_of(row))
            # The last change is the latest too, until one that is not.
            if (
                after is None
                or pair in self._unsure
                or (before is not None and row.occurred_at < before.last.occurred_at)
            ):
                self._unsure.setdefault(pair, []).append(row.occurred_at)
            if after is None:
                self._late.add(pair)
                self._judged.append(Judged(pair, True, before, before))
            else:
                now.held = after
                now.is_moved = True
                self.changed.add(pair[0])
                self._judged.append(Judged(pair, False, before, after))

    def _change_of(self, row: Row) -> Change:
        event = row.event
        assert event.to is not None  # validated: a state change says to what
        return Change(
            to=event.to,
            natural_state=event.natural_state,
            cause=event.cause,
            reason=event.reason,
            detail=event.detail,
            boot=event.boot,
            boot_at=self.boots.get((row.pair[1], event.boot)) if event.boot else None,
            seq=event.seq,
            occurred_at=row.occurred_at,
            origin=event.origin,
            event_id=event.event_id,
        )

    def _note_said(self, now: Now, row: Row) -> None:
        event = row.event
        now.is_said = True
        if event.metrics is not None and (
            now.metrics_at is None or row.occurred_at >= now.metrics_at
        ):
            now.metrics, now.metrics_at = event.metrics, row.occurred_at
            self.changed.add(row.pair[0])
        now.library = event.library or now.library
        now.labels = event.labels or now.labels
        if event.probe_due_at is not None:
            self._note_due_said(now, row, event.probe_due_at)
        if now.held is None:
            # It may be its first word, by which it is there and unknown.
            self.changed.add(row.breaker_id)

    def _note_due_said(self, now: Now, row: Row, due: datetime) -> None:
        """A state change says it of itself; a sample of the one that stands, if it is older than neither that nor
        the newest sample."""
        event, held = row.event, now.held
        if event.type == "state_change":
            now.dues[event.event_id] = due
        elif held is not None:
            newest = now.metrics_at or held.last.occurred_at
            if row.occurred_at >= max(newest, held.last.occurred_at):
                now.dues[held.last.event_id] = due
                self.changed.add(row.breaker_id)

    def note_due(self, pair: Pair, due: datetime) -> None:
        """What a hello says of the state that stands."""
        now = self.now.get(pair)
        if now is not None and now.held is not None:
            now.is_said = True
            now.dues[now.held.last.event_id] = due
            self._written_up = None

    def look_again(self, pairs: Iterable[Pair]) -> None:
        """Has them judged where they have a state, though nothing moved."""
        self._written_up = None
        for pair in pairs:
            self.changed.add(pair[0])
            held = self.held(pair)
            if held is not None:
                self._judged.append(Judged(pair, False, held, held, again=True))

    def begin_again(self, pairs: Iterable[Pair], *, silent: Set[Pair]) -> None:
        """Instances are back, and what they left behind counts again: as if it were new, but where the group has moved
        it, and but for the `silent`, of which their present life has said nothing yet. What was moved was nobody's word
        before: a breaker that was open when its process ended well, and is closed in the next one, was not
        open until then."""
        self._written_up = None
        first: dict[Pair, int] = {}
        for place, one in enumerate(self._judged):
            if not (one.late or one.again):
                first.setdefault(one.pair, place)
        for pair in pairs:
            self.changed.add(pair[0])
            held, known = self.held(pair), first.get(pair)
            if known is not None:
                self._judged[known] = msgspec.structs.replace(self._judged[known], before=None)
            elif held is not None and held.state is not State.UNKNOWN and pair not in silent:
                self._judged.append(Judged(pair, False, None, held))

    def write_up(self) -> Writing:
        """What is to be stored in the forms in which it goes to PostgreSQL."""
        if self._written_up is None:
            pairs = sorted(pair for pair, now in self.now.items() if now.is_moved or now.is_said)
            states = columns_of_states(pairs, [self.now[pair] for pair in pairs]) if pairs else None
            news = [item for item in self._judged if item.is_news]
            self._written_up = Writing(states, columns_of_outbox(news) if news else None)
        return self._written_up

    def _move(self, pair: Pair, after: Held) -> None:
        """History says that it is so, whatever the group, or an earlier one, made of it."""
        self._written_up = None
        now = self.now[pair]
        self._judged.append(Judged(pair, False, now.held, after))
        now.held = after
        now.is_moved = True
        self.changed.add(pair[0])

    def _pairs_of(self, instances: Set[int]) -> set[Pair]:
        return {pair for pair in self.now if pair[1] in instances}
