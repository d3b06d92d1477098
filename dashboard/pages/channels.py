"""`/channels/`: where messages go."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from alerts.access import channel_of, channels_for
from alerts.channel_changes import told
from alerts.channels import channel_kinds
from alerts.channels.email import Email, reaches_nobody
from alerts.models import Channel
from breakers.access import Actor
from breakers.models import Scope
from dashboard.pages import words
from dashboard.pages.forms_of_kinds import form_if_there, form_of
from dashboard.pages.frame import page, render_page


@page
@require_safe
def channels_page(request: HttpRequest, actor: Actor) -> HttpResponse:
    """`?edit=ID` opens the form for one of them."""
    chosen = request.GET.get("edit")
    channel = channel_of(actor, Scope.ADMIN, chosen) if chosen else None
    channels = list(channels_for(actor).order_by("name", "id"))
    mail_reaches_nobody = reaches_nobody() and any(
        one.enabled and one.kind == Email.kind for one in channels
    )
    return render_page(
        request,
        actor,
        "channels/list.html",
        {
            "headline": _headline(
                channels, limited=actor.limited, mail_reaches_nobody=mail_reaches_nobody
            ),
            "mail_reaches_nobody": mail_reaches_nobody,
            "channels": [(channel, told(channel, actor)["config"]) for channel in channels],
            "chosen": channel,
            "form": form_if_there(channel_kinds, channel.kind, channel.config) if channel else None,
            "kinds": [form_of(channel_kinds.get(name)) for name in channel_kinds.names()],
        },
    )


def _headline(channels: list[Channel], *, limited: bool, mail_reaches_nobody: bool) -> str:
    if not channels:
        return "No channel that you may see." if limited else "Nobody is told of anything yet."
    off = [channel for channel in channels if not channel.enabled]
    failing = [channel.name for channel in channels if channel.enabled and channel.last_failure]
    refused = [c.name for c in channels if c.enabled and c.foreseen and not c.last_failure]
    said = f"{words.counted(len(channels), 'channel')}"
    if failing:
        return f"{said}: {', '.join(failing)} {'fails' if len(failing) == 1 else 'fail'}."
    if refused:
        return f"{said}: what {', '.join(refused)} is told would not be sent."
    if mail_reaches_nobody:
        return f"{said}: mail reaches nobody."
    return f"{said}, {len(off)} of them off." if off else f"{said}, all in order."
