"""`/connect/`: examples that work as they stand, apart from what is on the board already."""

from __future__ import annotations

import ast
import html
import json
import re
import shlex
from http import HTTPStatus
from urllib.parse import quote

import pytest

from breakers.models import ApiKey, AuditEntry, Environment, Role
from tests.support.people import signed_in, text_of

pytestmark = pytest.mark.django_db


def shown(page: str, label: str) -> str:
    found = re.search(rf'aria-label="{label}">(.*?)</pre>', page, re.S)
    assert found, label
    return html.unescape(found[1])


def event_of(page: str) -> dict[str, str]:
    words = shlex.split(shown(page, "Shell command"))
    event: dict[str, str] = json.loads(words[words.index("-d") + 1])
    return event


def test_a_key_is_limited_to_the_environment_that_the_examples_name() -> None:
    client = signed_in(Role.ADMIN)

    page = client.post("/connect/", {"environment": "staging"}).content.decode()

    key = ApiKey.objects.get()
    assert key.environment is not None
    assert key.environment.name == "staging"
    assert set(key.scopes) == {"ingest", "agent"}
    assert event_of(page)["environment"] == "staging"
    assert shown(page, "The key") in shown(page, "Shell command")
    assert shown(page, "The key") in shown(page, "Python lines")
    assert AuditEntry.objects.filter(action="create_key", subject=key.name).exists()


@pytest.mark.parametrize("name", ["o'hare", 'a "b" $HOME `ls`', "\\", "zürich 🛫", "</pre><b>"])
def test_the_examples_say_what_they_mean_whatever_the_environment_is_called(name: str) -> None:
    page = text_of(signed_in(Role.VIEWER), f"/connect/?environment={quote(name)}")

    assert event_of(page)["environment"] == name
    call = ast.parse(shown(page, "Python lines")).body[1]
    assert isinstance(call, ast.Assign)
    assert isinstance(call.value, ast.Call)
    said = {one.arg: ast.literal_eval(one.value) for one in call.value.keywords}
    assert said["environment"] == name


def test_the_examples_of_a_limited_person_lie_within_their_limits() -> None:
    assert event_of(text_of(signed_in(Role.VIEWER, "staging"), "/connect/"))["environment"] == (
        "staging"
    )


def test_a_limited_admin_makes_no_key_for_elsewhere() -> None:
    Environment.objects.create(name="prod")
    client = signed_in(Role.ADMIN, "staging")

    for path, said in (
        ("/connect/", {"environment": "prod"}),
        ("/keys/", {"name": "k", "scopes": "ingest", "environment": "prod"}),
        ("/keys/", {"name": "k", "scopes": "ingest"}),
    ):
        answer = client.post(path, said)
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert "one of yours: staging" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_viewer_is_told_whom_to_ask() -> None:
    viewer = signed_in(Role.VIEWER)

    assert "Keys are made by admins" in text_of(viewer, "/connect/")
    assert viewer.post("/connect/").status_code == HTTPStatus.FORBIDDEN
