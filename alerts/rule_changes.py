"""Making, changing and deleting rules; each change is audited and waits until nobody evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection, transaction

from alerts.access import channels_for
from alerts.evaluate import lock_rulebook
from alerts.incidents import end_incident
from alerts.matchers import MATCHERS_MAX, BadMatcher, Matcher, parse_matcher
from alerts.models import Channel, Incident, Rule, Standing
from alerts.rules import Need, RuleKind, rule_kinds
from breakers.access import Actor
from breakers.audit import record
from breakers.errors import FieldError, Invalid
from breakers.models import Service
from breakers.outbox import judge_samples
from breakers.wake import wake_evaluation


class RuleWish(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as somebody wants it; read it with `read_wish`."""

    name: str
    enabled: bool
    kind: RuleKind
    matchers: tuple[Matcher, ...]
    severity: str
    channels: tuple[Channel, ...]
    group_by: tuple[str, ...]
    clear_for: int
    dry_run: bool
    runbook_url: str | None


def read_matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Raises Invalid with the place of each that is wrong."""
    if len(texts) > MATCHERS_MAX:
        raise Invalid([FieldError(("matchers",), f"there are more than {MATCHERS_MAX}")])
    found, wrong = [], []
    for place, text in enumerate(texts):
        try:
            found.append(parse_matcher(text))
        except BadMatcher as problem:
            wrong.append(FieldError(("matchers", place), str(problem)))
    if wrong:
        raise Invalid(wrong)
    return tuple(found)


def read_kind(kind: str, params: dict[str, Any]) -> RuleKind:
    """Raises Invalid."""
    read = rule_kinds.read(kind, params, loc="params")
    wrong = [FieldError(("params", name), words) for name, words in read.problems()]
    if wrong:
        raise Invalid(wrong)
    return read


def read_channels(actor: Actor, ids: Sequence[str]) -> tuple[Channel, ...]:
    """Those of the actor's that are named; raises Invalid for any other."""
    known = {str(row.pk): row for row in channels_for(actor)}
    wrong = [
        FieldError(("channels", place), "there is no such channel")
        for place, one in enumerate(ids)
        if one not in known
    ]
    if wrong:
        raise Invalid(wrong)
    return tuple(known[one] for one in dict.fromkeys(ids))


def create_rule(wish: RuleWish, *, by: Actor, now: datetime) -> Rule:
    """An enabled rule judges at once what is open already."""
    with transaction.atomic():
        lock_rulebook()
        rule = Rule(
            environments=_sorted(by.environments), services=_sorted(by.services), created_at=now
        )
        _fill(rule, wish, now)
        rule.save()
        rule.channels.set(wish.channels)
        _record(by, "create_rule", rule, before=None)
        _note_needs()
        if rule.enabled:
            _look_again(rule, now)
    return rule


def change_rule(rule_id: int, wish: RuleWish, *, by: Actor, now: datetime) -> Rule:
    """What fires by a condition that no longer holds sway is over; the new one is judged at once."""
    with transaction.atomic():
        lock_rulebook()
        rule = Rule.objects.select_for_update(no_key=True).get(pk=rule_id)
        before = told(rule)
        was_enabled, condition = rule.enabled, _condition(rule)
        _fill(rule, wish, now)
        rule.version += 1
        rule.save()
        rule.channels.set(wish.channels)
        _record(by, "change_rule", rule, before=before)
        _note_needs()
        changed = _condition(rule) != condition
        if was_enabled and (changed or not rule.enabled):
            text = "The rule was changed." if rule.enabled else "The rule was switched off."
            _end_all(rule, text, by=by, now=now)
        if rule.enabled and (changed or not was_enabled):
            _look_again(rule, now)
    return rule


def delete_rule(rule_id: int, *, by: Actor, now: datetime) -> None:
    """Its incidents are over, and stay to be read."""
    with transaction.atomic():
        lock_rulebook()
        rule = Rule.objects.select_for_update(no_key=True).get(pk=rule_id)
        before = told(rule)
        rule.enabled, rule.deleted_at, rule.updated_at = False, now, now
        rule.save(update_fields=["enabled", "deleted_at", "updated_at"])
        record(by, "delete_rule", kind="rule", id=rule.pk, subject=rule.name, before=before)
        _note_needs()
        _end_all(rule, "The rule was deleted.", by=by, now=now)


_FOLLOW = """
UPDATE {table} SET services = array_append(services, %(new)s){more}
WHERE %(old)s = ANY(services) AND NOT %(new)s = ANY(services)
  AND (environments IS NULL OR %(environment)s = ANY(environments))
"""


def follow_service(service: Service, old: str, new: str) -> None:
    """Rules, channels and policies within the limits of the old name are within those of the new one too."""
    more = {"old": old, "new": new, "environment": service.environment.name}
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW.format(table="rule", more=", version = version + 1"), more)
        cursor.execute(_FOLLOW.format(table="channel", more=""), more)
        cursor.execute(_FOLLOW.format(table="policy", more=""), more)


def told(rule: Rule) -> dict[str, Any]:
    """A rule as JSON, for the audit log and the API."""
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "kind": rule.kind,
        "params": rule.params,
        "matchers": rule.matchers,
        "severity": rule.severity,
        "channels": [str(pk) for pk in rule.channels.order_by("pk").values_list("pk", flat=True)],
        "group_by": rule.group_by,
        "clear_for": rule.clear_for,
        "remind_every": None,
        "escalation": [],
        "dry_run": rule.dry_run,
        "runbook_url": rule.runbook_url,
        "template": None,
    }


def _fill(rule: Rule, wish: RuleWish, now: datetime) -> None:
    rule.name = wish.name
    rule.enabled = wish.enabled
    rule.kind = wish.kind.kind
    rule.params = msgspec.to_builtins(wish.kind)
    rule.matchers = [str(one) for one in wish.matchers]
    rule.severity = wish.severity
    rule.group_by = list(wish.group_by)
    rule.clear_for = wish.clear_for
    rule.dry_run = wish.dry_run
    rule.runbook_url = wish.runbook_url
    rule.updated_at = now


def _condition(rule: Rule) -> tuple[object, ...]:
    """What decides whether it fires, and for which group."""
    return rule.kind, rule.params, rule.matchers, sorted(rule.group_by)


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _record(by: Actor, action: str, rule: Rule, *, before: dict[str, Any] | None) -> None:
    only = (
        next(iter(rule.environments)) if rule.environments and len(rule.environments) == 1 else None
    )
    record(
        by,
        action,
        kind="rule",
        id=rule.pk,
        subject=rule.name,
        before=before,
        after=told(rule),
        environment=only,
    )


def _end_all(rule: Rule, text: str, *, by: Actor, now: datetime) -> None:
    unresolved = Incident.objects.filter(rule=rule, resolved_at=None).order_by("group_key")
    for incident in unresolved.select_for_update(no_key=True):
        end_incident(incident, text=text, by_name=by.name, now=now)
    Standing.objects.filter(rule=rule).delete()


def _note_needs() -> None:
    """Snapshots are told to the evaluator where an enabled rule looks at them."""
    looking = [name for name in rule_kinds.names() if Need.SAMPLES in rule_kinds.get(name).needs]
    judge_samples(Rule.objects.filter(enabled=True, kind__in=looking).exists())


_ASK_AGAIN = """
INSERT INTO standing (rule_id, breaker_id, instance_id, firing, check_at)
SELECT %(rule)s, b.id, 0, false, %(now)s
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
WHERE (%(all)s
    OR EXISTS (
        SELECT FROM breaker_instance bi
        WHERE bi.breaker_id = b.id AND (bi.state <> 'closed' OR bi.natural_state <> 'closed'))
    OR EXISTS (SELECT FROM override o WHERE o.breaker_id = b.id AND o.ended_at IS NULL))
  AND (%(environments)s::text[] IS NULL OR e.name = ANY(%(environments)s))
  AND (%(services)s::text[] IS NULL OR s.name = ANY(%(services)s))
ORDER BY b.id
ON CONFLICT (breaker_id, rule_id, instance_id) DO UPDATE SET check_at = EXCLUDED.check_at
"""


def _look_again(rule: Rule, now: datetime) -> None:
    """Has every breaker of which the rule could say something judged soon, though nothing new happened to it: a
    kind that looks into history may say it of one that is closed."""
    with connection.cursor() as cursor:
        cursor.execute(
            _ASK_AGAIN,
            {
                "rule": rule.pk,
                "all": bool(rule_kinds.get(rule.kind).needs),
                "now": now,
                "environments": rule.environments,
                "services": rule.services,
            },
        )
    transaction.on_commit(wake_evaluation)
