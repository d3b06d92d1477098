"""From findings to incidents: what fires, who joins, what resolves. Pure: rows in memory, no queries.

`evaluate` brings the locked incidents in and writes what comes out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts.judging import Finding
from alerts.models import EntryKind, Incident, IncidentBreaker, IncidentEntry, MessageType, Standing
from alerts.rulebook import LoadedRule
from alerts.verdicts import CheckAt, Firing, Hold, Quiet
from breakers.live.incidents import summary_of

UPDATE_AFTER = timedelta(seconds=2)
"""How long joiners are gathered before an `incident.updated` tells of them."""
UPDATE_EVERY = timedelta(seconds=30)
"""The contract's least time between two of them."""

Subject = tuple[int, int]
"""A breaker and 0, or one instance of it."""


@dataclass(slots=True)
class Held:
    """An incident in hand: locked in the database, or new."""

    incident: Incident
    rule: LoadedRule
    others_unwell: int = 0
    """Members that are not well, beside `members`."""
    is_new: bool = False
    members: dict[Subject, IncidentBreaker] = field(default_factory=dict)
    new_members: list[IncidentBreaker] = field(default_factory=list)
    changed_members: set[Subject] = field(default_factory=set)
    joined: int = 0
    entries: list[IncidentEntry] = field(default_factory=list)
    messages: list[tuple[MessageType, datetime, Incident]] = field(default_factory=list)
    changed: bool = False

    @property
    def unwell(self) -> int:
        return self.others_unwell + sum(one.well_at is None for one in self.members.values())

    def note(self, kind: EntryKind, at: datetime, text: str) -> None:
        self.entries.append(IncidentEntry(at=at, kind=kind, text=text))

    def say(self, kind: MessageType, at: datetime) -> None:
        """Remembers the incident as it is at this moment; the id is not known yet."""
        self.messages.append((kind, at, _copy(self.incident)))


def _copy(incident: Incident) -> Incident:
    fields = [one.attname for one in Incident._meta.concrete_fields]
    return Incident(**{name: getattr(incident, name) for name in fields})


class Fold:
    """Takes findings in order and keeps the incidents that come of them."""

    def __init__(
        self, held: Iterable[Held], standings: Mapping[tuple[int, int, int], Standing]
    ) -> None:
        self.standings = dict(standings)
        self.all: list[Held] = []
        self._unresolved: dict[tuple[int, str], Held] = {}
        self._with: dict[tuple[int, Subject], list[Held]] = defaultdict(list)
        for one in held:
            self._take(one)

    def _take(self, one: Held) -> None:
        self.all.append(one)
        self._unresolved[one.rule.id, one.incident.group_key] = one
        for subject in one.members:
            self._with[one.rule.id, subject].append(one)

    def add(self, finding: Finding) -> None:
        """One more finding; they come in order."""
        rule, subject = finding.rule, (finding.breaker.id, finding.instance_id)
        for one in self._with[rule.id, subject]:
            self.clear(one, finding.at)
        mine = [one for one in self._with[rule.id, subject] if one.incident.resolved_at is None]
        standing = self._standing(rule.id, subject)
        standing.check_at = None
        match finding.verdict:
            case Firing() as firing:
                self._fire(finding, firing, subject, was_firing=standing.firing)
                standing.firing, standing.check_at = True, firing.again
            case Quiet() as quiet:
                standing.firing, standing.check_at = False, quiet.again
                for one in mine:
                    self._well(one, subject, finding.at)
            case Hold():
                for one in mine:
                    _unwell(one, subject)
            case CheckAt() as check:
                standing.check_at = check.due
                for one in mine:
                    _unwell(one, subject)

    def clear(self, one: Held, now: datetime) -> None:
        """Resolves what has been well for long enough by `now`."""
        incident = one.incident
        if incident.resolved_at is None and incident.clear_at and incident.clear_at <= now:
            resolve(one, incident.clear_at)
            self._forget(one)

    def clear_all(self, now: datetime) -> None:
        for one in self.all:
            self.clear(one, now)

    def _standing(self, rule_id: int, subject: Subject) -> Standing:
        key = (rule_id, *subject)
        if key not in self.standings:
            breaker_id, instance_id = subject
            self.standings[key] = Standing(
                rule_id=rule_id, breaker_id=breaker_id, instance_id=instance_id, firing=False
            )
        return self.standings[key]

    def _fire(
        self, finding: Finding, firing: Firing, subject: Subject, *, was_firing: bool
    ) -> None:
        rule, group, at = finding.rule, finding.group, finding.at
        for one in self._with[rule.id, subject]:
            # Its target changed: it belongs to another incident from now on.
            if one.incident.resolved_at is None and one.incident.group_key != group.key:
                self._well(one, subject, at)
                was_firing = False
        held = self._unresolved.get((rule.id, group.key))
        if held is not None:
            self.clear(held, at)
            held = self._unresolved.get((rule.id, group.key))
        if held is None:
            # Resolved by hand and still so: only a further instance is worth another incident.
            if was_firing and not finding.news:
                return
            self._begin(finding, firing, subject)
        elif subject in held.members:
            _unwell(held, subject)
        else:
            self._join(held, finding, subject)

    def _begin(self, finding: Finding, firing: Firing, subject: Subject) -> None:
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
        held.members[subject] = _member(subject, at)
        held.new_members.append(held.members[subject])
        held.note(EntryKind.FIRED, at, firing.text)
        held.say(MessageType.FIRING, at)
        self._take(held)

    def _join(self, held: Held, finding: Finding, subject: Subject) -> None:
        incident, seen, at = held.incident, finding.breaker, finding.at
        held.members[subject] = _member(subject, at)
        held.new_members.append(held.members[subject])
        self._with[held.rule.id, subject].append(held)
        held.joined += 1
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

    def _well(self, held: Held, subject: Subject, at: datetime) -> None:
        member = held.members[subject]
        if member.well_at is not None:
            return
        member.well_at = at
        held.changed_members.add(subject)
        if held.unwell:
            return
        if held.rule.clear_for:
            held.changed = True
            held.incident.clear_at = at + timedelta(seconds=held.rule.clear_for)
        else:
            resolve(held, at)
            self._forget(held)

    def _forget(self, held: Held) -> None:
        self._unresolved.pop((held.rule.id, held.incident.group_key), None)


def resolve(held: Held, at: datetime) -> None:
    """All its breakers are well."""
    incident = held.incident
    held.changed = True
    incident.resolved_at = max(at, incident.started_at)
    incident.clear_at = incident.update_at = None
    held.note(EntryKind.RESOLVED, incident.resolved_at, "All breakers are well.")
    held.say(MessageType.RESOLVED, incident.resolved_at)


def _member(subject: Subject, at: datetime) -> IncidentBreaker:
    breaker_id, instance_id = subject
    return IncidentBreaker(breaker_id=breaker_id, instance_id=instance_id, joined_at=at)


def _unwell(held: Held, subject: Subject) -> None:
    member = held.members[subject]
    if member.well_at is None:
        return
    member.well_at = None
    held.changed_members.add(subject)
    if held.incident.clear_at is not None:
        held.incident.clear_at = None
        held.changed = True
