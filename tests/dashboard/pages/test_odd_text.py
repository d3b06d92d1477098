"""Every form and every filter, given text that no database keeps: an answer, and never a failure of ours."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from breakers.models import ApiKey, Person, Role
from tests.support.people import PASSWORD, signed_in

pytestmark = pytest.mark.django_db
ODD = ("a\0b", "\x01", "a\nb", "\x7f", "\ud800", "\u202e", "x" * 5_000)
FORMS: dict[str, dict[str, str]] = {
    "/people/": {
        "username": "eve",
        "password": PASSWORD,
        "role": "viewer",
        "environments": "",
        "person": "",
        "active": "",
        "limits": "",
    },
    "/keys/": {
        "name": "orders",
        "scopes": "ingest",
        "environment": "prod",
        "services": "orders",
        "revoke": "",
    },
    "/connect/": {"environment": "prod"},
    "/password/": {"now": PASSWORD, "new": "another one, as long", "again": "another one, as long"},
    "/login/": {"username": "a admin", "password": PASSWORD, "next": "/"},
}
FILTERS = {
    "/": ("environment", "state", "q"),
    "/incidents/": ("status",),
    "/deliveries/": ("status",),
    "/audit/": ("who", "did", "to"),
    "/rules/": ("edit",),
    "/channels/": ("edit",),
    "/connect/": ("environment",),
    "/people/": ("change",),
    "/login/": ("next",),
}


@pytest.mark.parametrize("odd", ODD, ids=lambda text: ascii(text[:8]))
@pytest.mark.parametrize(
    ("path", "field"), [(path, field) for path, fields in FORMS.items() for field in fields]
)
def test_a_form_answers_whatever_a_field_holds(path: str, field: str, odd: str) -> None:
    client = signed_in(Role.ADMIN) if path != "/login/" else Client()
    said = {name: text for name, text in FORMS[path].items() if text} | {field: odd}
    body = {name: text.encode(errors="surrogatepass") for name, text in said.items()}

    answer = client.post(path, body)

    assert answer.status_code < 500
    assert not ApiKey.objects.filter(service_names__len__gt=1).exists()


@pytest.mark.parametrize(
    ("path", "field"),
    [("/people/", "username"), ("/people/", "environments")]
    + [("/keys/", field) for field in ("name", "environment", "services")]
    + [("/connect/", "environment")],
)
@pytest.mark.parametrize("odd", ["a\0b", "a\x1bb", "x" * 5_000], ids=lambda text: ascii(text[:8]))
def test_a_name_that_cannot_be_kept_is_explained_beside_its_field(
    path: str, field: str, odd: str
) -> None:
    said = {name: text for name, text in FORMS[path].items() if text} | {field: odd}

    answer = signed_in(Role.ADMIN).post(path, said)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    shown = answer.content.decode()
    assert "printable characters" in shown or "no such environment" in shown
    assert Person.objects.count() == 1
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("odd", ODD, ids=lambda text: ascii(text[:8]))
@pytest.mark.parametrize(
    ("path", "field"), [(path, field) for path, fields in FILTERS.items() for field in fields]
)
def test_a_filter_answers_whatever_it_is_given(path: str, field: str, odd: str) -> None:
    client = signed_in(Role.ADMIN) if path != "/login/" else Client()

    answer = client.get(path, {field: odd.encode(errors="surrogatepass")})

    assert answer.status_code < 500
