from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import AfterValidator, Field

from alerts.access import rule_of, rules_for
from alerts.api.forms import Authed, Id, Limit, Name
from alerts.matchable import check_labels, matching
from alerts.models import GroupLabel, Rule, Severity
from alerts.preview import PreviewSpan, preview_rule
from alerts.rule_changes import (
    RuleWish,
    change_rule,
    create_rule,
    delete_rule,
    read_channels,
    read_kind,
    read_matchers,
    told,
)
from alerts.rulebook import Condition
from breakers.access import Actor
from breakers.api.auth import ADMIN, READ
from breakers.api.body import Body, Instant, OneOf
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import FieldError, Invalid
from breakers.models import Scope

router = Router()
_WEEK_S = 7 * 86_400


def _link(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or not text.isprintable():
        raise ValueError("must be a URL that begins with https:// or http://")
    return text


class RuleIn(Body):
    """A rule as the caller wants it. Not available yet, and refused unless left out, null or empty:
    `remind_every`, `escalation`, `template`."""

    name: Name
    enabled: bool = True
    kind: Annotated[str, Field(max_length=40)]
    params: dict[str, Any] = {}
    matchers: list[str] = []
    severity: OneOf[Severity] = Severity.WARNING
    channels: Annotated[list[Id], Field(max_length=100)] = []
    group_by: Annotated[list[OneOf[GroupLabel]], Field(min_length=1, max_length=5)] = [
        GroupLabel.TARGET
    ]
    clear_for: Annotated[int, Field(ge=0, le=_WEEK_S)] = 0
    dry_run: bool = False
    runbook_url: Annotated[str, Field(max_length=2000), AfterValidator(_link)] | None = None
    remind_every: Any = None
    escalation: Any = None
    template: Any = None

    def wish(self, actor: Actor, *, before: Rule | None = None) -> RuleWish:
        """Raises Invalid; a label that the rule matched by `before` may be gone meanwhile."""
        for field in ("remind_every", "escalation", "template"):
            if getattr(self, field):
                raise Invalid([FieldError((field,), "is not available yet")])
        kind, matchers = read_kind(self.kind, self.params), read_matchers(self.matchers)
        known = read_matchers(before.matchers) if before else ()
        check_labels(actor, matchers, known=[one.label for one in known])
        return RuleWish(
            name=self.name,
            enabled=self.enabled,
            kind=kind,
            matchers=matchers,
            severity=self.severity.value,
            channels=read_channels(actor, self.channels),
            group_by=tuple(dict.fromkeys(label.value for label in self.group_by)),
            clear_for=self.clear_for,
            dry_run=self.dry_run,
            runbook_url=self.runbook_url,
        )


class RuleOut(Schema):
    id: str
    name: str
    enabled: bool
    kind: str
    params: dict[str, Any]
    matchers: list[str]
    severity: str
    channels: list[str]
    group_by: list[str]
    clear_for: int
    remind_every: int | None
    escalation: list[dict[str, Any]]
    dry_run: bool
    runbook_url: str | None
    template: str | None
    environments: list[str] | None
    """The limits of whoever made it; null: none."""
    services: list[str] | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, rule: Rule) -> RuleOut:
        return cls(
            id=str(rule.pk),
            environments=rule.environments,
            services=rule.services,
            created_at=rule.created_at,
            updated_at=rule.updated_at,
            **told(rule),
        )


class RulePage(Schema):
    items: list[RuleOut]
    next: str | None


@router.get("", auth=READ, response=RulePage)
def get_rules(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> RulePage:
    """Rules, newest first."""
    found, next_ = page(
        rules_for(request.auth),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "rules"},
    )
    return RulePage(items=[RuleOut.of(rule) for rule in found], next=next_)


@router.post("", auth=ADMIN, response={201: RuleOut})
def post_rule(request: Authed, body: RuleIn) -> Status[RuleOut]:
    """Makes a rule; where enabled, it also judges at once what is open already."""
    rule = create_rule(body.wish(request.auth), by=request.auth, now=timezone.now())
    return Status(201, RuleOut.of(rule))


class PreviewIn(RuleIn):
    """A rule, and the span to try it on: by default the last 24 hours, at most 31 days."""

    name: Annotated[str, Field(max_length=200)] = ""
    since: Instant | None = None
    until: Instant | None = None


class WouldBeOut(Schema):
    """`from_before`: it was firing when the span began. `resolved_at` is null where it still was at its end."""

    summary: str
    environment: str
    target: str | None
    breakers: list[str]
    started_at: datetime
    resolved_at: datetime | None
    from_before: bool


class PreviewOut(Schema):
    """The newest 200 of `total` incidents; `events` state changes of `breakers` breakers were judged."""

    since: datetime
    until: datetime
    breakers: int
    events: int
    total: int
    incidents: list[WouldBeOut]


@router.post("/preview", auth=ADMIN, response=PreviewOut)
def post_preview(request: Authed, body: PreviewIn) -> PreviewOut:
    """What the rule would have fired on over a past span, by history in the order of its receipt, as it would have
    been evaluated then; changes nothing. 422 where more happened than can be replayed."""
    wish = body.wish(request.auth)
    span = PreviewSpan.of(body.since, body.until, now=timezone.now())
    seen = preview_rule(
        Condition(wish.kind, wish.matchers),
        group_by=wish.group_by,
        clear_for=wish.clear_for,
        actor=request.auth,
        span=span,
    )
    return PreviewOut(
        since=span.since,
        until=span.until,
        breakers=seen.breakers,
        events=seen.events,
        total=seen.total,
        incidents=[
            WouldBeOut(
                summary=one.summary,
                environment=one.environment,
                target=one.target,
                breakers=[str(id) for id in one.breakers],
                started_at=one.started_at,
                resolved_at=one.resolved_at,
                from_before=one.from_before,
            )
            for one in seen.incidents
        ],
    )


class MatchersIn(Body):
    matchers: list[str] = []


class MatchingOut(Schema):
    """Breakers that the matchers choose now, of all within the caller's limits."""

    breakers: int
    of: int


@router.post("/matching", auth=READ, response=MatchingOut)
def post_matching(request: Authed, body: MatchersIn) -> MatchingOut:
    """How many breakers a rule with these matchers would be about; changes nothing."""
    matchers = read_matchers(body.matchers)
    check_labels(request.auth, matchers)
    found = matching(request.auth, matchers)
    return MatchingOut(breakers=found.breakers, of=found.of)


@router.get("/{rule_id}", auth=READ, response=RuleOut)
def get_rule(request: Authed, rule_id: str) -> RuleOut:
    """One rule."""
    return RuleOut.of(rule_of(request.auth, Scope.READ, rule_id))


@router.put("/{rule_id}", auth=ADMIN, response=RuleOut)
def put_rule(request: Authed, rule_id: str, body: RuleIn) -> RuleOut:
    """Replaces a rule. Incidents of a condition that was changed or switched off are resolved."""
    rule = rule_of(request.auth, Scope.ADMIN, rule_id)
    return RuleOut.of(
        change_rule(
            rule.pk, body.wish(request.auth, before=rule), by=request.auth, now=timezone.now()
        )
    )


@router.delete("/{rule_id}", auth=ADMIN, response={204: None})
def remove_rule(request: Authed, rule_id: str) -> Status[None]:
    """Deletes a rule and resolves its incidents."""
    rule = rule_of(request.auth, Scope.ADMIN, rule_id)
    delete_rule(rule.pk, by=request.auth, now=timezone.now())
    return Status(204, None)
