"""`/rules/`: on what to alert, and whom."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.access import channels_for, rules_for
from alerts.models import Rule, Severity
from alerts.rules import rule_kinds
from breakers.access import Actor
from dashboard.pages import words
from dashboard.pages.forms_of_kinds import form_of
from dashboard.pages.frame import page, render_page


@page
@require_safe
def rules_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    rules = list(rules_for(actor).prefetch_related("channels").order_by("name", "id"))
    channels = channels_for(actor).order_by("name", "id")
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
