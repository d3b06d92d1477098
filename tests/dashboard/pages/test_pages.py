"""Every page: who sees it, what it says when there is nothing, and that its policy can stay strict."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from alerts.models import Channel, Incident, Rule
from breakers.desired.override import OverrideWish, override_breaker
from breakers.models import ApiKey, AuditEntry, Instance, Person, Role
from breakers.states import Mode
from tests.support.make import make_actor, make_breaker, make_channel, make_key, make_rule
from tests.support.people import PASSWORD, signed_in, text_of

pytestmark = pytest.mark.django_db

FOR_ALL = (
    "/",
    "/incidents/",
    "/rules/",
    "/channels/",
    "/deliveries/",
    "/overrides/",
    "/policies/",
    "/instances/",
    "/reports/",
    "/connect/",
    "/password/",
)
FOR_OPERATORS = ("/audit/",)
FOR_ADMINS = ("/environments/", "/keys/", "/people/")


@pytest.fixture
def admin() -> Iterator[Client]:
    return signed_in(Role.ADMIN)


@pytest.mark.parametrize(
    "path", [*FOR_ALL, *FOR_OPERATORS, *FOR_ADMINS, "/breakers/1/", "/incidents/1/"]
)
def test_nobody_sees_a_page_without_signing_in(path: str) -> None:
    answer = Client().get(path)

    assert answer.status_code == HTTPStatus.FOUND
    assert answer["Location"] == f"/login/?next={path}"


@pytest.mark.parametrize("path", [*FOR_ALL, *FOR_OPERATORS, *FOR_ADMINS])
def test_every_page_has_a_headline_and_says_what_to_do_when_empty(admin: Client, path: str) -> None:
    page = text_of(admin, path)

    assert re.search(r'<h1 class="headline"[^>]*>\S', page)
    assert path == "/password/" or re.search(r'aria-current="page"', page)


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        (Role.VIEWER, FOR_ALL, (*FOR_OPERATORS, *FOR_ADMINS)),
        (Role.OPERATOR, (*FOR_ALL, *FOR_OPERATORS), FOR_ADMINS),
        (Role.ADMIN, (*FOR_ALL, *FOR_OPERATORS, *FOR_ADMINS), ()),
    ],
)
def test_a_role_sees_its_pages_and_no_link_to_others(
    role: Role, allowed: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    client = signed_in(role)

    board = text_of(client, "/")
    for path in allowed:
        text_of(client, path)
        assert f'href="{path}"' in board
    for path in refused:
        text_of(client, path, HTTPStatus.FORBIDDEN)
        assert f'href="{path}"' not in board


def test_no_page_has_script_or_style_inline(admin: Client) -> None:
    breaker = make_breaker(state="open")
    make_rule(channels=[make_channel()])

    for path in (*FOR_ALL, *FOR_OPERATORS, *FOR_ADMINS, f"/breakers/{breaker.pk}/", "/login/"):
        page = text_of(admin if path != "/login/" else Client(), path)
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"", page), path


def test_the_board_shows_each_breaker_once_with_its_state(admin: Client) -> None:
    shown = {
        str(make_breaker(state=state).pk): state
        for state in ("open", "closed", "half_open", "forced_open")
    }

    page = text_of(admin, "/")

    assert dict(re.findall(r'data-breaker="(\d+)" data-state="(\w+)"', page)) == shown
    assert len(re.findall(r'data-breaker="', page)) == len(shown)
    headline = re.search(r'<h1 class="headline".*?</h1>', page, re.S)
    assert headline
    said = re.sub(r"<[^>]+>", "", headline.group())
    assert said == "1 open: orders → catalog. 1 forced open, 1 probing."


def test_the_board_filters_by_its_address_before_any_script_runs(admin: Client) -> None:
    opened = make_breaker(state="open", service="orders")
    make_breaker(state="closed", service="feed")

    for query in ("?state=open", "?q=orders", "?q=OPEN"):
        page = text_of(admin, "/" + query)
        assert re.findall(r'data-breaker="(\d+)"', page) == [str(opened.pk)], query
    assert "No breaker matches" in text_of(admin, "/?q=nothing+like+this")


def test_names_are_text_whatever_they_hold(admin: Client) -> None:
    breaker = make_breaker("<script>\"&'", service="a</script><b>", target="</title>")

    for path in ("/", f"/breakers/{breaker.pk}/", "/instances/"):
        page = text_of(admin, path)
        assert "</script><b>" not in page, path
        assert page.count("</title>") == 1, path


def test_a_limited_person_sees_only_what_lies_within(admin: Client) -> None:
    inside = make_breaker(environment="staging")
    outside = make_breaker(environment="prod")
    client = signed_in(Role.OPERATOR, "staging")

    assert re.findall(r'data-breaker="(\d+)"', text_of(client, "/")) == [str(inside.pk)]
    text_of(client, f"/breakers/{outside.pk}/", HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize("odd", ["0", "999999", "-1", "x", "1" * 40, "٣", "%00", "1.0", " 1"])
def test_an_odd_id_is_a_page_that_says_so(admin: Client, odd: str) -> None:
    assert "Nothing is here" in text_of(admin, f"/breakers/{odd}/", HTTPStatus.NOT_FOUND)
    assert "Nothing is here" in text_of(admin, f"/incidents/{odd}/", HTTPStatus.NOT_FOUND)


def test_the_breaker_page_offers_a_hand_to_operators_alone() -> None:
    breaker = make_breaker(state="open", instances=("a", "b", "c"))
    Instance.objects.update(connected=True)
    path = f"/breakers/{breaker.pk}/"

    operator, viewer = (
        text_of(signed_in(Role.OPERATOR), path),
        text_of(signed_in(Role.VIEWER), path),
    )

    assert "Force open on 3 instances" in operator
    assert "<pb-hand" not in viewer
    assert "signed in as a viewer" in viewer


def test_an_override_says_who_why_and_how_far_it_got(admin: Client) -> None:
    breaker = make_breaker(instances=("a", "b"))
    override_breaker(
        breaker,
        wish=OverrideWish(
            mode=Mode.FORCED_OPEN,
            reason="provider is bouncing",
            expires_at=timezone.now() + timedelta(minutes=10),
            instances=None,
            excepted=[],
        ),
        by=make_actor(name="ana"),
        now=timezone.now(),
    )

    for path in ("/", f"/breakers/{breaker.pk}/", "/overrides/"):
        page = text_of(admin, path)
        assert "provider is bouncing" in page, path
        assert "ana" in page, path
        assert "0 of 2 applied" in page, path
        assert "9:59" in page or "10:00" in page, path
    log = text_of(admin, "/audit/")
    assert "provider is bouncing" in log
    assert 'override<div class="small">forced open</div>' in log


def test_a_key_is_shown_once(admin: Client) -> None:
    answer = admin.post("/connect/")

    [shown] = set(re.findall(r"pb_[\w-]{20,}", answer.content.decode()))
    key = ApiKey.objects.get(created_by__username="a admin")
    assert shown.startswith(key.hint)
    assert set(key.scopes) == {"ingest", "agent"}
    assert shown not in text_of(admin, "/keys/")
    assert AuditEntry.objects.filter(action="create_key", subject=key.name).exists()


def test_a_wrong_key_is_explained_beside_the_field(admin: Client) -> None:
    answer = admin.post("/keys/", {"name": "", "scopes": ["ingest"]})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "printable characters" in answer.content.decode()
    assert not ApiKey.objects.filter(name="").exists()


def test_a_revoked_key_is_revoked_once(admin: Client) -> None:
    admin.post("/keys/", {"name": "orders", "scopes": ["ingest"]})
    key = ApiKey.objects.get(name="orders")

    assert admin.post("/keys/", {"revoke": key.pk}).status_code == HTTPStatus.FOUND
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert admin.post("/keys/", {"revoke": key.pk}).status_code == HTTPStatus.NOT_FOUND


def test_an_admin_of_one_environment_neither_sees_nor_revokes_keys_that_reach_others() -> None:
    wide, _ = make_key(name="wide-reaching", scopes=["ingest"])
    own, _ = make_key(name="own-feed", scopes=["ingest"], environment="staging")
    admin = signed_in(Role.ADMIN, "staging")

    page = text_of(admin, "/keys/")
    assert "own-feed" in page
    assert "wide-reaching" not in page
    assert admin.post("/keys/", {"revoke": wide.pk}).status_code == HTTPStatus.NOT_FOUND
    assert admin.post("/keys/", {"revoke": own.pk}).status_code == HTTPStatus.FOUND
    assert [key.name for key in ApiKey.objects.exclude(revoked_at=None)] == ["own-feed"]


def test_a_keys_limits_are_set_on_its_page_and_audited(admin: Client) -> None:
    key, _ = make_key(name="orders", scopes=["ingest"])

    wrong = admin.post("/keys/", {"limit": key.pk, "events_per_second": "fast"})
    assert wrong.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "must be a whole number" in wrong.content.decode()
    assert admin.post("/keys/", {"limit": key.pk, "names_max": "0"}).status_code == 422

    limits = {"events_per_second": "500", "names_max": "70"}
    assert admin.post("/keys/", {"limit": key.pk} | limits).status_code == HTTPStatus.FOUND
    assert "500 events a second" in text_of(admin, "/keys/")
    entry = AuditEntry.objects.get(action="change_key")
    assert entry.before is not None
    assert entry.before["events_per_second"] is None
    assert entry.after is not None
    assert (entry.after["events_per_second"], entry.after["names_max"]) == (500, 70)

    admin.post("/keys/", {"limit": key.pk, "events_per_second": "", "names_max": ""})
    key.refresh_from_db()
    assert (key.events_per_second, key.names_max) == (None, None)


def test_only_admins_make_keys_and_people() -> None:
    operator = signed_in(Role.OPERATOR)

    for path in ("/keys/", "/connect/", "/people/"):
        assert (
            operator.post(path, {"name": "x", "username": "x"}).status_code == HTTPStatus.FORBIDDEN
        )
    assert not ApiKey.objects.filter(name="x").exists()


def test_sign_in_goes_on_to_where_one_wanted_and_nowhere_else() -> None:
    signed_in(Role.VIEWER)
    said = {"username": "a viewer", "password": PASSWORD}

    assert Client().post("/login/", said | {"next": "/rules/"})["Location"] == "/rules/"
    assert Client().post("/login/", said | {"next": "https://evil.example/"})["Location"] == "/"
    wrong = Client().post("/login/", said | {"password": "wrong"})
    assert "do not match" in wrong.content.decode()


def test_sign_out_is_a_post(admin: Client) -> None:
    assert admin.get("/logout/").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert admin.post("/logout/").status_code == HTTPStatus.FOUND
    assert admin.get("/").status_code == HTTPStatus.FOUND


def test_forms_need_the_token_of_their_page() -> None:
    person = Person.objects.create_person(username="ada", password=PASSWORD, role=Role.ADMIN)
    client = Client(enforce_csrf_checks=True)
    client.force_login(person)

    assert (
        client.post("/keys/", {"name": "x", "scopes": ["ingest"]}).status_code
        == HTTPStatus.FORBIDDEN
    )


def test_rules_and_channels_have_a_form_for_each_kind(admin: Client) -> None:
    assert 'value="opened"' in text_of(admin, "/rules/")
    channels = text_of(admin, "/channels/")
    assert 'name="config.url"' in channels
    assert 'name="config.to"' in channels


def test_a_rule_says_what_it_is_set_to_with_units(admin: Client) -> None:
    for name, kind, params in (
        ("a", "open_for", {"for": 120}),
        ("b", "failure_rate", {"threshold": 50.0, "for": 90}),
        ("c", "open_instances", {"percent": 25.0}),
    ):
        make_rule(name=name, kind=kind, params=params)

    page = text_of(admin, "/rules/")

    for said in ("for 2 min", "threshold 50%, for 1 min 30 s", "percent 25%"):
        assert f", {said}<" in page


def test_a_rule_whose_kind_is_gone_is_shown_and_can_be_deleted(admin: Client) -> None:
    rule = make_rule(name="of a plug-in")
    Rule.objects.filter(pk=rule.pk).update(kind="gone_plugin", params={"level": 3})

    assert "gone plugin, level 3<" in text_of(admin, "/rules/")
    assert "Its kind, gone plugin, is gone" in text_of(admin, f"/rules/?edit={rule.pk}")


def test_a_channel_whose_kind_is_gone_is_shown_and_can_be_deleted(admin: Client) -> None:
    channel = make_channel()
    Channel.objects.filter(pk=channel.pk).update(kind="gone_plugin")

    for path in ("/channels/", "/rules/"):
        assert channel.name in text_of(admin, path)
    assert "Its kind, gone plugin, is gone" in text_of(admin, f"/channels/?edit={channel.pk}")


def test_an_empty_list_is_not_said_to_be_all_there_is_to_somebody_limited(admin: Client) -> None:
    make_rule(channels=[make_channel()])
    make_breaker(environment="prod", state="open")
    limited = signed_in(Role.OPERATOR, "staging")

    for path in (*FOR_ALL, *FOR_OPERATORS):
        if path in ("/connect/", "/password/"):
            continue
        page = text_of(limited, path)
        assert re.search(r'<h1 class="headline"[^>]*>[^<]*that you may see', page), path
        assert re.search(r"<h2>[^<]*that you may see", page), path
        assert "staging alone" in page or path == "/audit/", path


def test_the_form_for_a_rule_or_a_channel_is_for_admins_within_their_limits() -> None:
    rule = make_rule(channels=[make_channel()])
    channel = rule.channels.get()
    paths = (f"/rules/?edit={rule.pk}", f"/channels/?edit={channel.pk}")

    for client, status in (
        (signed_in(Role.OPERATOR), HTTPStatus.FORBIDDEN),
        (signed_in(Role.ADMIN, "staging"), HTTPStatus.NOT_FOUND),
    ):
        for path in paths:
            text_of(client, path, status)


def test_a_secret_that_is_set_is_in_its_form_as_stars(admin: Client) -> None:
    config = {"url": "https://hooks.example/x", "authorization": "Bearer of-a-passphrase"}
    made = admin.post(
        "/api/v1/channels",
        {"name": "hook", "kind": "webhook", "config": config},
        content_type="application/json",
    ).json()

    page = text_of(admin, f"/channels/?edit={made['id']}")

    assert 'name="config.authorization" data-as="text" value="***"' in page
    assert "passphrase" not in page


def test_the_audit_log_is_filtered_by_who_what_and_to_what(admin: Client) -> None:
    admin.post("/keys/", {"name": "orders", "scopes": "ingest"})
    admin.post("/keys/", {"name": "feed", "scopes": "ingest"})
    admin.post("/keys/", {"revoke": ApiKey.objects.get(name="feed").pk})

    def rows(query: str) -> int:
        return text_of(admin, f"/audit/?{query}").count("<tr data-key")

    assert (rows(""), rows("did=create+key"), rows("did=create+key&to=feed")) == (3, 2, 1)
    assert (rows("who=a+admin"), rows("who=nobody")) == (3, 0)
    assert "revoke key" in text_of(admin, "/audit/")


def test_the_audit_log_says_lists_as_people_read_them(admin: Client) -> None:
    entry = {"channels": ["1", "2"], "matchers": [], "enabled": True, "params": {"for": 60}}
    AuditEntry.objects.create(
        actor_kind="person", actor_id=1, actor_name="ada", action="change_rule",
        subject_kind="rule", subject_id="1", subject="any open", after=entry,
    )  # fmt: skip

    page = html.unescape(text_of(admin, "/audit/"))

    for said in ("1, 2", "none", "yes", '{"for": 60}'):
        assert f">{said}</dd>" in page
    assert "['1'" not in page


def test_the_page_of_the_api_shows_code_as_code(client: Client) -> None:
    page = client.get("/docs/api/").content.decode()

    said = re.sub(r"<pre.*?</pre>", "", page, flags=re.S)
    assert "<code>" in said
    assert "`" not in said


def test_an_instance_whose_socket_closed_is_not_said_to_be_heard(admin: Client) -> None:
    for name, connected in (("a", True), ("b", False), ("c", None)):
        breaker = make_breaker(instances=(name,))
        Instance.objects.filter(name=name).update(connected=connected)
        assert breaker.breaker_instances.count() == 1

    page = text_of(admin, "/instances/")

    assert "1 not heard any more, of 3 instances of 1 service." in page
    assert page.index(">b<") < page.index(">a<")


def test_incidents_are_listed_by_what_is_to_be_done(admin: Client) -> None:
    now = timezone.now()

    def incident(rule: str, severity: str, ago: int, **more: Any) -> None:
        began = now - timedelta(minutes=ago)
        Incident.objects.create(
            rule=make_rule(rule), rule_name=rule, severity=severity, environment="prod",
            group_key=rule, summary=f"case {rule}", condition="opened", services=["orders"],
            breakers_total=1, started_at=began, **more,
        )  # fmt: skip

    incident("over", "critical", 1, resolved_at=now)
    incident("info", "info", 2)
    incident("taken", "critical", 3, acknowledged_at=now, acknowledged_by="ada")
    incident("older", "critical", 9)
    incident("newer", "critical", 4)

    assert re.findall(r">case (\w+)<", text_of(admin, "/incidents/")) == [
        "newer", "older", "info", "taken", "over",
    ]  # fmt: skip
