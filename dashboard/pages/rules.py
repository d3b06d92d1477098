"""`/rules/`: on what to alert, and whom."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.access import channels_for, rule_of, rules_for
from alerts.models import GroupLabel, Rule, Severity
from alerts.rules import rule_kinds
from breakers.access import Actor
from breakers.kinds import UnknownKind
from breakers.models import Scope
from dashboard.pages import words
from dashboard.pages.forms_of_kinds import form_if_there, form_of, settings_of
from dashboard.pages.frame import page, render_page


@page
@require_safe
def rules_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """`?edit=ID` opens the form for one of them."""
    chosen = request.GET.get("edit")
    rule = rule_of(actor, Scope.ADMIN, chosen) if chosen else None
    rules = list(rules_for(actor).prefetch_related("channels").order_by("name", "id"))
    return render_page(
        request,
        actor,
        "rules/list.html",
        {
            "headline": _headline(rules, limited=actor.limited),
            "rules": [(one, _settings(one)) for one in rules],
            "chosen": rule,
            "form": form_if_there(rule_kinds, rule.kind, rule.params) if rule else None,
            "channels": list(channels_for(actor).order_by("name", "id")),
            "kinds": [form_of(rule_kinds.get(name)) for name in rule_kinds.names()],
            "previewed": {name for name in rule_kinds.names() if rule_kinds.get(name).previews},
            "severities": Severity.values,
            "labels": GroupLabel.values,
        },
    )


def _settings(rule: Rule) -> list[str]:
    """As they are kept where its kind is gone, with a plug-in, or has other settings by now."""
    try:
        return settings_of(rule_kinds.get(rule.kind), rule.params)
    except (UnknownKind, ValueError):
        return [f"{key} {value}" for key, value in rule.params.items()]


def _headline(rules: list[Rule], *, limited: bool) -> str:
    on = [rule for rule in rules if rule.enabled]
    if not rules:
        return "No rule that you may see." if limited else "No rules yet: nothing fires."
    if not on:
        return "No rule is watching."
    dry = sum(rule.dry_run for rule in on)
    quiet = [rule.name for rule in on if not rule.dry_run and not rule.channels.all()]
    said = f"{words.counted(len(on), 'rule')} {'watches' if len(on) == 1 else 'watch'} the breakers"
    if quiet:
        return f"{said}; “{quiet[0]}” tells nobody."
    return f"{said}, {dry} without telling anybody." if dry else f"{said}."
