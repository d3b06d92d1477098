"""`/rules/`: on what to alert, and whom."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.models import Channel, Rule, Severity
from alerts.rules import rule_kinds
from breakers.access import Actor
from dashboard.pages import words
from dashboard.pages.forms_of_kinds import form_of
from dashboard.pages.frame import page, render_page
from dashboard.pages.limits import within_limits


@page
@require_safe
def rules_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    rules = list(
        within_limits(actor, Rule.objects.filter(deleted_at__isnull=True))
        .prefetch_related("channels")
        .order_by("name", "id")
    )
    channels = within_limits(actor, Channel.objects.filter(deleted_at__isnull=True)).order_by(
        "name", "id"
    )
    return render_page(
        request,
        actor,
        "rules/list.html",
        {
            "headline": _headline(rules),
            "rules": rules,
            "channels": list(channels),
            "kinds": [form_of(rule_kinds.get(name)) for name in rule_kinds.names()],
            "severities": Severity.values,
        },
    )


def _headline(rules: list[Rule]) -> str:
    on = [rule for rule in rules if rule.enabled]
    if not on:
        return "No rule is watching." if rules else "No rules yet: nothing fires."
    dry = sum(rule.dry_run for rule in on)
    quiet = [rule.name for rule in on if not rule.dry_run and not rule.channels.all()]
    said = f"{words.counted(len(on), 'rule')} {'watches' if len(on) == 1 else 'watch'} the breakers"
    if quiet:
        return f"{said}; “{quiet[0]}” tells nobody."
    return f"{said}, {dry} without telling anybody." if dry else f"{said}."
