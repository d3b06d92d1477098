"""The enabled rules, ready to judge. What is costly to make (matchers, kinds) is kept by rule and version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import structlog
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Q, QuerySet

from alerts.matchers import BadMatcher, Matcher, all_hold, parse_matchers
from alerts.models import Rule
from alerts.rules import RuleKind, rule_kinds
from alerts.verdicts import BreakerView, InstanceView
from breakers.errors import Invalid

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Condition:
    """What of a rule decides."""

    kind: RuleKind
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule as the evaluator needs it; `channels` are those that are enabled."""

    id: int
    name: str
    severity: str
    condition: Condition
    group_by: frozenset[str]
    clear_for: int
    dry_run: bool
    runbook_url: str | None
    channels: tuple[int, ...]
    environments: frozenset[str] | None
    services: frozenset[str] | None

    def instances_of(self, seen: BreakerView) -> list[InstanceView]:
        """Those that it is about: within its limits, and matching."""
        if not self._reaches(seen):
            return []
        return [one for one in seen.instances if all_hold(self.condition.matchers, one.labels)]

    def is_about_alone(self, seen: BreakerView) -> bool:
        """Whether it is about a breaker that has no instance, by its own labels."""
        labels = {
            "environment": seen.environment,
            "service": seen.service,
            "breaker": seen.breaker,
            "target": seen.target or "",
        }
        return (
            not seen.instances and self._reaches(seen) and all_hold(self.condition.matchers, labels)
        )

    def _reaches(self, seen: BreakerView) -> bool:
        """Whether the breaker lies within its limits."""
        return (self.environments is None or seen.environment in self.environments) and (
            self.services is None or seen.service in self.services
        )


def enabled_rules() -> list[LoadedRule]:
    """In id order. One that cannot be read (a plug-in that is gone) is left out and logged."""
    return _loaded_of(Rule.objects.filter(enabled=True))


def rule_of(rule_id: int) -> LoadedRule | None:
    """This one, switched on or off; None: it cannot be read."""
    return next(iter(_loaded_of(Rule.objects.filter(pk=rule_id))), None)


def _loaded_of(rules: QuerySet[Rule]) -> list[LoadedRule]:
    rows = rules.annotate(
        channel_ids=ArrayAgg(
            "channels", filter=Q(channels__enabled=True), order_by="channels", default=[]
        )
    ).order_by("id")
    loaded = []
    for row in rows:
        condition = _condition(row.pk, row.version)
        if condition is not None:
            loaded.append(_loaded(row, condition, row.channel_ids))
    return loaded


def _loaded(row: Rule, condition: Condition, channels: list[int]) -> LoadedRule:
    return LoadedRule(
        id=row.pk,
        name=row.name,
        severity=row.severity,
        condition=condition,
        group_by=frozenset(row.group_by),
        clear_for=row.clear_for,
        dry_run=row.dry_run,
        runbook_url=row.runbook_url,
        channels=tuple(channels),
        environments=None if row.environments is None else frozenset(row.environments),
        services=None if row.services is None else frozenset(row.services),
    )


@lru_cache(maxsize=4096)
def _condition(rule_id: int, version: int) -> Condition | None:
    row = Rule.objects.only("kind", "params", "matchers").get(pk=rule_id)
    try:
        return Condition(
            rule_kinds.read(row.kind, row.params, loc="params"), parse_matchers(row.matchers)
        )
    except (Invalid, BadMatcher) as problem:
        _log.error("rule cannot be read", rule=rule_id, error=str(problem))
        return None
