"""From findings to incidents: what fires, who joins, what resolves. Pure: rows in memory, no queries.

`evaluate` brings the locked incidents in and writes what comes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts.judging import Finding
from alerts.models import EntryKind, Incident, MessageType
from alerts.rulebook import LoadedRule
from alerts.verdicts import CheckAt, Firing, Quiet
from breakers.live.incidents import summary_of

UPDATE_AFTER = timedelta(seconds=2)
"""How long joiners are gathered before an `incident.updated` tells of them."""
UPDATE_EVERY = timedelta(seconds=30)
"""The contract's least time between two of them."""

Subject = tuple[int, int]
"""A breaker and 0, or one instance of it."""


@dataclass(slots=True)
class Member:
    """A subject in an incident in hand; `id` is of its row, None: there is none yet."""

    joined_at: datetime
    well_at: datetime | None = None
    id: int | None = None


@dataclass(slots=True)
class Held:
    """An incident in hand: locked in the database, or new."""

    incident: Incident
    rule: LoadedRule
    unwell: int = 0
    """How many of its members here are not well, and one more where others are not. Counted, for it is asked whenever
    one is well again, and there may be thousands."""
    is_new: bool = False
    members: dict[Subject, Member] = field(default_factory=dict)
    joined: list[Subject] = field(default_factory=list)
    changed_members: set[Subject] = field(default_factory=set)
    entries: list[tuple[datetime, EntryKind, str]] = field(default_factory=list)
    messages: list[tuple[MessageType, datetime, Incident]] = field(default_factory=list)
    changed: bool = False

    def take(self, subject: Subject, member: Member) -> None:
        self.members[subject] = member
        self.unwell += member.well_at is None

    def join(self, subject: Subject, at: datetime) -> None:
        self.take(subject, Member(at))
        self.joined.append(subject)

    def note(self, kind: EntryKind, at: datetime, text: str) -> None:
        self.entries.append((at, kind, text))

    def say(self, kind: MessageType, at: datetime) -> None:
        """Remembers the incident as it is at this moment; the id is not known yet."""
        self.messages.append((kind, at, _copy(self.incident)))


@dataclass(slots=True)
class Stand:
    """What a rule last said of a subject, and when to ask again; `id` is of its row, None: there is none."""

    firing: bool = False
    check_at: datetime | None = None
    id: int | None = None


def _copy(incident: Incident) -> Incident:
    fields = [one.attname for one in Incident._meta.concrete_fields]
    return Incident(**{name: getattr(incident, name) for name in fields})


class Fold:
    """Takes findings in order and keeps the incidents that come of them."""

    def __init__(
        self, held: Iterable[Held], standings: Mapping[tuple[int, int, int], Stand]
    ) -> None:
        self.standings = defaultdict(Stand, standings)
        """By rule and subject."""
        self.all: list[Held] = []
        self._unresolved: dict[tuple[int, str], Held] = {}
        self._with: dict[tuple[int, int, int], list[Held]] = {}
        """By rule and subject those that it is in, while they are not resolved."""
        for one in held:
            self._take(one)
            for subject in one.members:
                self._with.setdefault((one.rule.id, *subject), []).append(one)

    def _take(self, one: Held) -> None:
        self.all.append(one)
        self._unresolved[one.rule.id, one.incident.group_key] = one

    def add(self, finding: Finding) -> None:
        """One more finding; they come in order."""
        at, verdict = finding.at, finding.verdict
        subject = finding.breaker.id, finding.instance_id
        key = finding.rule.id, *subject
        stand = self.standings[key]
        mine = [one for one in self._with.get(key, ()) if not self._is_over(one, at)]
        self._with[key] = mine
        stand.check_at = verdict.again
        # By type and not by pattern: in a storm there is a finding for nearly every event.
        if isinstance(verdict, Firing):
            self._fire(finding, verdict, subject, mine, was_firing=stand.firing)
            stand.firing = True
        elif isinstance(verdict, Quiet):
            stand.firing = False
            for one in mine:
                self._well(one, subject, at)
        elif isinstance(verdict, CheckAt) or _is_left(finding):
            for one in mine:
                _unwell(one, subject)

    def clear_all(self, now: datetime) -> None:
        for one in self.all:
            self._is_over(one, now)

    def _is_over(self, one: Held, now: datetime) -> bool:
        """Whether it is resolved; what has been well for long enough by `now` resolves here."""
        incident = one.incident
        if incident.resolved_at is None and incident.clear_at and incident.clear_at <= now:
            self._resolve(one, incident.clear_at)
        return incident.resolved_at is not None

    def _fire(
        self,
        finding: Finding,
        firing: Firing,
        subject: Subject,
        mine: list[Held],
        *,
        was_firing: bool,
    ) -> None:
        """`mine` are the incidents that the subject is in; one that it comes into is added."""
        rule, group, at = finding.rule, finding.group, finding.at
        for one in mine:
            # Its target changed: it belongs to another incident from now on.
            if one.incident.group_key != group.key:
                self._well(one, subject, at)
                was_firing = False
        held = self._unresolved.get((rule.id, group.key))
        if held is None or self._is_over(held, at):
            # Resolved by hand and still so: only a further instance is worth another incident.
            if finding.news or not was_firing:
                mine.append(self._begin(finding, firing, subject))
        elif subject in held.members:
            _unwell(held, subject)
        else:
            mine.append(held)
            _join(held, finding, subject)

    def _begin(self, finding: Finding, firing: Firing, subject: Subject) -> Held:
        rule, seen, at = finding.rule, finding.breaker, finding.at
        incident = Incident(
            rule_id=rule.id,
            rule_name=rule.name,
            severity=rule.severity,
            muted=rule.dry_run,
            environment=seen.environment,
            target=finding.group.target,
            group_key=finding.group.key,
            condition=firing.text,
            services=[seen.service],
            breakers_total=1,
            summary=summary_of(
                first=f"{seen.service}/{seen.breaker}",
                condition=firing.text,
                environment=seen.environment,
                target=finding.group.target,
                total=1,
                services=1,
            ),
            started_at=at,
        )
        held = Held(incident, rule, is_new=True)
        held.join(subject, at)
        held.note(EntryKind.FIRED, at, firing.text)
        held.say(MessageType.FIRING, at)
        self._take(held)
        return held

    def _well(self, held: Held, subject: Subject, at: datetime) -> None:
        member = held.members[subject]
        if member.well_at is not None:
            return
        member.well_at = at
        held.unwell -= 1
        held.changed_members.add(subject)
        if held.unwell:
            return
        if held.rule.clear_for:
            held.changed = True
            held.incident.clear_at = at + timedelta(seconds=held.rule.clear_for)
        else:
            self._resolve(held, at)

    def _resolve(self, held: Held, at: datetime) -> None:
        """All its breakers are well."""
        incident = held.incident
        held.changed = True
        incident.resolved_at = max(at, incident.started_at)
        incident.clear_at = incident.update_at = None
        held.note(EntryKind.RESOLVED, incident.resolved_at, "All breakers are well.")
        held.say(MessageType.RESOLVED, incident.resolved_at)
        self._unresolved.pop((held.rule.id, incident.group_key), None)


def _join(held: Held, finding: Finding, subject: Subject) -> None:
    incident, seen, at = held.incident, finding.breaker, finding.at
    held.join(subject, at)
    held.changed = True
    incident.clear_at = None
    incident.breakers_total += 1
    if seen.service not in incident.services:
        incident.services = [*incident.services, seen.service]
    if incident.target != finding.group.target:
        incident.target = None
    incident.summary = summary_of(
        first="",
        condition=incident.condition,
        environment=incident.environment,
        target=incident.target,
        total=incident.breakers_total,
        services=len(incident.services),
    )
    if incident.update_at is None:
        earliest = at + UPDATE_AFTER
        if incident.updated_at is not None:
            earliest = max(earliest, incident.updated_at + UPDATE_EVERY)
        incident.update_at = earliest


def _is_left(finding: Finding) -> bool:
    """Whether anybody still speaks for it: who was well when the last one went stays well."""
    rule, id = finding.rule, finding.instance_id
    if rule.condition.kind.whole:
        return True
    return any(one.live and id in (0, one.id) for one in rule.instances_of(finding.breaker))


def _unwell(held: Held, subject: Subject) -> None:
    member = held.members[subject]
    if member.well_at is None:
        return
    member.well_at = None
    held.unwell += 1
    held.changed_members.add(subject)
    if held.incident.clear_at is not None:
        held.incident.clear_at = None
        held.changed = True
