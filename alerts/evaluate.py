"""From the outbox to incidents, deliveries and what policies do, each claim in one transaction (I3).

A row is deleted in the transaction that writes what follows from it: a worker killed at any point leaves
either both or neither, and of two workers one holds the breaker's lock.

Locks are taken in one order everywhere: the rulebook (shared), breakers (skipping those that are held),
incidents by rule and group, then channels, then deliveries. New incidents are inserted last, in the same
order; where another worker was first, the claim is made again. What policies do comes last of all, so that
the rows of desired state are held for no longer than the commit takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from psycopg.errors import DeadlockDetected

from alerts.announce import announce, tell_due, told_together
from alerts.background import with_background
from alerts.claim import BATCH, Claim, claim, delete_judged, drop_orphans, waiting_breakers
from alerts.fold import Fold, Held, Member, Stand
from alerts.incidents import Post, post, told_channels
from alerts.judging import Finding, findings_of
from alerts.messages import message_about
from alerts.models import (
    EntryKind,
    Incident,
    MessageType,
    Standing,
)
from alerts.policies.judge import judge_policies
from alerts.rulebook import LoadedRule, enabled_rules
from alerts.verdicts import Firing
from breakers.clock import database_now
from breakers.ingest.pgtext import array
from breakers.transactions import by_keys_alone

RULEBOOK_LOCK = 0x70620001
"""Advisory: evaluation holds it shared, a change of rules alone."""
_TRIES = 5

_STANDINGS = """
SELECT rule_id, breaker_id, instance_id, firing, check_at, id FROM standing WHERE breaker_id = ANY(%s::bigint[])
"""
# By breaker, one after the other: from an incident's side all its members would be read, which may be half of a fleet.
_IN = """
SELECT DISTINCT incident_id
FROM unnest(%s::bigint[]) AS asked (breaker) CROSS JOIN LATERAL (
    SELECT incident_id FROM incident_breaker WHERE breaker_id = asked.breaker OFFSET 0
) member JOIN incident ON incident.id = incident_id
WHERE resolved_at IS NULL
"""
_MEMBERS = """
SELECT member.*
FROM unnest(%s::bigint[]) AS asked (breaker) CROSS JOIN LATERAL (
    SELECT incident_id, breaker_id, instance_id, joined_at, well_at, id FROM incident_breaker
    WHERE breaker_id = asked.breaker AND incident_id = ANY(%s::bigint[]) OFFSET 0
) member
"""
# Whether there is one, and not how many: an incident may hold half of a fleet, and is looked at with each of its
# breakers. With a LIMIT, for as an EXISTS it is made a join, for which all members are read.
_OTHERS_UNWELL = """
SELECT held.id FROM unnest(%s::bigint[]) AS held (id) CROSS JOIN LATERAL (
    SELECT FROM incident_breaker
    WHERE incident_id = held.id AND well_at IS NULL AND breaker_id <> ALL(%s::bigint[]) LIMIT 1
) other
"""
_CHANGE_INCIDENT = """
UPDATE incident SET resolved_at = told.resolved_at, clear_at = told.clear_at, update_at = told.update_at,
    summary = told.summary, target = told.target, services = told.services::varchar[], breakers_total = told.total
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[], %s::text[],
    %s::int[]) AS told (id, resolved_at, clear_at, update_at, summary, target, services, total)
WHERE incident.id = told.id
"""
_JOIN = """
INSERT INTO incident_breaker (incident_id, breaker_id, instance_id, joined_at, well_at)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
"""
_CHANGE = """
UPDATE incident_breaker member SET well_at = told.well_at
FROM unnest(%s::bigint[], %s::timestamptz[]) AS told (id, well_at) WHERE member.id = told.id
"""
_ENTER = """
INSERT INTO incident_entry (incident_id, at, kind, text)
SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[])
"""
_STAND = """
INSERT INTO standing (rule_id, breaker_id, instance_id, firing, check_at)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::boolean[], %s::timestamptz[])
"""
_STAND_OTHERWISE = """
UPDATE standing SET firing = told.firing, check_at = told.check_at
FROM unnest(%s::bigint[], %s::boolean[], %s::timestamptz[]) AS told (id, firing, check_at)
WHERE standing.id = told.id
"""
_log = structlog.get_logger(__name__)


class AnotherWasFirst(Exception):
    """Another worker began the same incident after this one had looked."""


@told_together()
def evaluate_pending(*, budget_s: float = 10.0) -> int:
    """Judges all that waits, or as much as the time allows; gives the number of breakers judged."""
    deadline = time.monotonic() + budget_s
    judged = 0
    for page in waiting_breakers(database_now()):
        for start in range(0, len(page), BATCH):
            judged += _evaluate(page[start : start + BATCH])
            tell_due()
            if time.monotonic() > deadline:
                return judged
        if judged == 0:
            drop_orphans()
    return judged


def _evaluate(breaker_ids: Sequence[int]) -> int:
    """These breakers in one transaction; if that fails, by halves, so that one bad breaker stands alone."""
    for _ in range(_TRIES):
        try:
            return evaluate_breakers(breaker_ids)
        except AnotherWasFirst:
            continue
        except Exception as problem:
            if _lost_database(problem):
                raise
            if len(breaker_ids) == 1:
                _log.exception("breaker not evaluated", breaker=breaker_ids[0])
                return 0
            break
    half = len(breaker_ids) // 2
    return _evaluate(breaker_ids[:half]) + _evaluate(breaker_ids[half:]) if half else 0


def _lost_database(problem: Exception) -> bool:
    """PostgreSQL is away or going: no smaller portion helps, and the next tick tries again."""
    if not isinstance(problem, OperationalError | InterfaceError):
        return False
    state: str | None = getattr(problem.__cause__, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))


@transaction.atomic
def evaluate_breakers(breaker_ids: Sequence[int]) -> int:
    """One claim: judge, write what follows, delete the outbox rows. Raises AnotherWasFirst."""
    by_keys_alone()
    lock_rulebook_shared()
    now = database_now()
    claimed = claim(breaker_ids, now=now)
    if claimed is None:
        return 0
    rules = enabled_rules()
    replays = with_background(claimed.replays, rules, now=now)
    findings = [one for replay in replays for one in findings_of(rules, replay, now=now)]
    # What happened at one place stays in the order of breakers, rules and instances: they come by id.
    findings.sort(key=attrgetter("order"))
    standings = _standings(claimed)
    if findings or standings:
        _apply(claimed, rules, findings, standings, now=now)
    judge_policies(claimed.replays, now=now)
    delete_judged(claimed)
    return len(claimed.replays)


def lock_rulebook_shared() -> None:
    """Until the end of the transaction the rules stay as they are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULEBOOK_LOCK])


def lock_rulebook() -> None:
    """Waits until nobody evaluates; taken before any other lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULEBOOK_LOCK])


def _standings(claimed: Claim) -> dict[tuple[int, int, int], Stand]:
    rows = _fetch(_STANDINGS, claimed.breakers)
    return {(rule, breaker, instance): Stand(*said) for rule, breaker, instance, *said in rows}


def _apply(
    claimed: Claim,
    rules: Sequence[LoadedRule],
    findings: Sequence[Finding],
    standings: dict[tuple[int, int, int], Stand],
    *,
    now: datetime,
) -> None:
    was = {key: (stand.firing, stand.check_at) for key, stand in standings.items()}
    known = {rule.id: rule for rule in rules}
    fold = Fold(_locked_incidents(claimed, known, findings), standings)
    # What was asked is answered: a standing that no finding touches has nothing to wait for.
    for stand in standings.values():
        if stand.check_at is not None and stand.check_at <= now:
            stand.check_at = None
    for finding in findings:
        fold.add(finding)
    fold.clear_all(now)
    _write_incidents(fold.all, now=now)
    _write_standings(fold, was)


def _locked_incidents(
    claimed: Claim, rules: dict[int, LoadedRule], findings: Sequence[Finding]
) -> list[Held]:
    """The unresolved incidents that the findings may touch, locked in the order of rule and group."""
    ids = {id for (id,) in _fetch(_IN, claimed.breakers)}
    firing = {(one.rule.id, one.group.key) for one in findings if isinstance(one.verdict, Firing)}
    if not ids and not firing:
        return []
    wanted = Q(pk__in=ids)
    if firing:
        wanted |= Q(rule__in={rule for rule, _ in firing}, group_key__in={key for _, key in firing})
    rows = list(
        Incident.objects.filter(wanted, resolved_at=None, rule__in=rules)
        .order_by("rule_id", "group_key")
        .select_for_update(no_key=True)
    )
    held = {row.pk: Held(row, rules[row.rule_id]) for row in rows if row.rule_id is not None}
    mine = claimed.breakers
    for id, breaker_id, instance_id, *said in _fetch(_MEMBERS, mine, list(held)):
        held[id].take((breaker_id, instance_id), Member(*said))
    for (id,) in _fetch(_OTHERS_UNWELL, list(held), mine):
        held[id].unwell += 1
    return list(held.values())


def _write_incidents(all_held: Sequence[Held], *, now: datetime) -> None:
    touched = [one for one in all_held if one.is_new or one.changed or one.changed_members]
    old = [one for one in touched if not one.is_new]
    new = sorted(
        (one for one in touched if one.is_new),
        key=lambda one: (one.rule.id, one.incident.group_key),
    )
    _execute(_CHANGE_INCIDENT, [_changed(one.incident) for one in old if one.changed])
    if new:
        _insert([one.incident for one in new])
    for one in touched:
        if one.joined and not one.is_new:
            joined = len(one.joined)
            further = "1 further breaker" if joined == 1 else f"{joined} further breakers"
            one.entries.insert(0, (now, EntryKind.JOINED, further))
    _write_members(touched)
    _execute(_ENTER, [(one.incident.pk, *entry) for one in touched for entry in one.entries])
    _post(touched, now=now)
    announce(one.incident for one in touched)


def _changed(one: Incident) -> tuple[object, ...]:
    """As `_CHANGE_INCIDENT` has it; of an array of arrays PostgreSQL wants all equally long."""
    return (
        one.pk,
        one.resolved_at,
        one.clear_at,
        one.update_at,
        one.summary,
        one.target,
        array(one.services),
        one.breakers_total,
    )


def _write_members(touched: Sequence[Held]) -> None:
    new: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for one in touched:
        for subject in one.joined:
            member = one.members[subject]
            new.append((one.incident.pk, *subject, member.joined_at, member.well_at))
        for subject in one.changed_members:
            member = one.members[subject]
            if member.id is not None:
                changed.append((member.id, member.well_at))
    _execute(_JOIN, new)
    _execute(_CHANGE, changed)


def _insert(incidents: list[Incident]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('incident', 'id')) FROM generate_series(1, %s)",
            [len(incidents)],
        )
        for incident, (number,) in zip(incidents, cursor.fetchall(), strict=True):
            incident.pk = number
    try:
        Incident.objects.bulk_create(incidents, ignore_conflicts=True)
    except OperationalError as problem:
        # Two begin what the other has just resolved, and each waits for the other: PostgreSQL lets one go on.
        if isinstance(problem.__cause__, DeadlockDetected):
            raise AnotherWasFirst from problem
        raise
    ids = [incident.pk for incident in incidents]
    if Incident.objects.filter(pk__in=ids).count() < len(ids):
        raise AnotherWasFirst


def _post(touched: Sequence[Held], *, now: datetime) -> None:
    speaking = [one for one in touched if one.messages and not one.incident.muted]
    told = told_channels(one.incident.pk for one in speaking if not one.is_new)
    posts = []
    for one in speaking:
        channels = one.rule.channels if one.is_new else told.get(one.incident.pk, [])
        for kind, at, incident in one.messages:
            incident.pk = one.incident.pk
            assert kind is not MessageType.FIRING or one.is_new
            message = message_about(incident, kind, at=at, runbook_url=one.rule.runbook_url)
            posts.append(Post(incident.pk, message, channels))
    post(posts, now=now)


def _write_standings(
    fold: Fold, was: dict[tuple[int, int, int], tuple[bool, datetime | None]]
) -> None:
    made: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    gone: list[int] = []
    for key, stand in fold.standings.items():
        says = stand.firing or stand.check_at is not None
        if stand.id is None:
            if says:
                made.append((*key, stand.firing, stand.check_at))
        elif not says:
            gone.append(stand.id)
        elif was[key] != (stand.firing, stand.check_at):
            changed.append((stand.id, stand.firing, stand.check_at))
    _execute(_STAND, made)
    _execute(_STAND_OTHERWISE, changed)
    if gone:
        Standing.objects.filter(pk__in=gone).delete()


def _fetch(statement: str, *ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """With arrays as parameters: Django would write a placeholder for each of a thousand ids."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [array(each) for each in ids])
        return list(cursor.fetchall())


def _execute(statement: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Of rows alone: an object of Django's for each, and its SQL, would take most of the time of writing."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(statement, [array(column) for column in zip(*rows, strict=True)])
