"""Requests of which a part cannot be stored for now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from breakers.models import Event
from tests.support.web import Web


@contextmanager
def refusing(superuser_url: str, reason: str) -> Iterator[None]:
    """PostgreSQL stores no event of this reason, as where its partition is dropped again and again."""
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(
            f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'check_violation'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW WHEN (NEW.reason = '{reason}')
            EXECUTE FUNCTION refuse();
            """
        )
        try:
            yield
        finally:
            superuser.execute("DROP FUNCTION refuse() CASCADE")


def events(**fields: Any) -> list[dict[str, Any]]:
    return [
        {"service": "orders", "breaker": "catalog", "to": "open", "reason": reason} | fields
        for reason in ("first", "second", "odd", "last")
    ]


async def test_what_would_be_stored_twice_is_told_to_be_stored_and_the_rest_not(
    web: Web, superuser_url: str
) -> None:
    with refusing(superuser_url, "odd"):
        answer = await web.post_events(*events())

    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    [refused] = answer.json()["rejected"]
    assert refused["index"] == 2
    assert "send it again" in refused["errors"][0]["msg"]
    assert await Event.objects.acount() == 3


async def test_what_can_be_sent_again_without_harm_is_to_be_sent_again(
    web: Web, superuser_url: str
) -> None:
    named = [one | {"id": one["reason"]} for one in events()]
    with refusing(superuser_url, "odd"):
        refused = await web.post_events(*named)
    answer = await web.post_events(*named)

    assert refused.status_code == 503
    assert (answer.json()["accepted"], answer.json()["duplicates"]) == (1, 3)
    assert await Event.objects.acount() == 4
