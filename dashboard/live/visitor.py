"""Who is behind a browser's session, asked for in the event loop: Django's way would hold a thread for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.http import parse_cookie
from django.utils.crypto import constant_time_compare

from breakers.access import ROLE_CAN, Actor
from breakers.asgi import Scope
from breakers.db import Pool
from breakers.models import Person, Role

_SESSION = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > now()"
_PERSON = """
    SELECT p.username, p.password, p.role,
           (SELECT array_agg(e.name) FROM person_environments pe
            JOIN environment e ON e.id = pe.environment_id WHERE pe.person_id = p.id)
    FROM person p WHERE p.id = %s AND p.is_active
"""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """A person who is signed in, and the stamp by which a change of their rights is noticed."""

    actor: Actor
    session_key: str
    password: str = field(repr=False)
    role: str


async def visitor_of(scope: Scope, pool: Pool) -> Visitor | None:
    """None: no session, one that is over, or one of a person who may not sign in. Raises what the pool raises."""
    session_key = _cookie(scope)
    if not (session_key.isascii() and session_key.isalnum()):
        return None
    async with pool.connection() as connection:
        stored = await (await connection.execute(_SESSION, [session_key])).fetchone()
        if stored is None:
            return None
        said: dict[str, Any] = SessionStore().decode(stored[0])
        number = str(said.get(SESSION_KEY, ""))
        if not number.isdigit():
            return None
        person = await (await connection.execute(_PERSON, [int(number)])).fetchone()
    if person is None:
        return None
    name, password, role, environments = person
    # As django.contrib.auth has it: a session ends with the password under which it began.
    stamp = Person(password=password).get_session_auth_hash()
    if not constant_time_compare(str(said.get(HASH_SESSION_KEY, "")), stamp):
        return None
    client = scope.get("client")
    actor = Actor(
        kind="person",
        id=int(number),
        name=name,
        can=ROLE_CAN[Role(role)],
        environments=frozenset(environments) if environments else None,
        address=client[0] if client else None,
    )
    return Visitor(actor=actor, session_key=session_key, password=password, role=role)


def _cookie(scope: Scope) -> str:
    said = "; ".join(
        value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"
    )
    return parse_cookie(said).get(settings.SESSION_COOKIE_NAME, "")
