"""API keys by the API: made, limited and revoked by admins; a key's text is told once, in the answer that makes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.http import HttpResponse
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field

from breakers.access import row_id
from breakers.api.auth import ADMIN
from breakers.api.body import Body
from breakers.api.shapes import Authed, Limit
from breakers.cursor import LIMIT_DEFAULT, page
from breakers.errors import NotFound
from breakers.keys import create_api_key, keys_for, limit_api_key, names_made, revoke_api_key
from breakers.models import ApiKey

router = Router(tags=["access"])
Bound = Annotated[int, Field(ge=1)]


class KeyLimits(Body):
    """Null: as many as any key."""

    events_per_second: Bound | None = None
    names_max: Bound | None = None


class KeyIn(KeyLimits):
    """Without `environment` it reaches all of them, without `services` all of an environment's."""

    name: str
    scopes: list[str]
    environment: str | None = None
    services: Annotated[list[str], Field(max_length=1000)] | None = None


class KeyOut(KeyLimits):
    """`hint` is how its text begins. `names_made` of `names_max` are the names that it has made."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    environment: str | None
    services: list[str] | None
    names_made: int
    names_refused: int
    created_at: datetime
    created_by: str | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey, made: int) -> KeyOut:
        return cls(
            id=str(key.pk),
            name=key.name,
            hint=key.hint,
            scopes=key.scopes,
            environment=key.environment.name if key.environment else None,
            services=key.service_names,
            events_per_second=key.events_per_second,
            names_max=key.names_max,
            names_made=made,
            names_refused=key.names_refused,
            created_at=key.created_at,
            created_by=key.created_by.username if key.created_by else None,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
        )


class KeyMade(KeyOut):
    key: str
    """Its text, which is told this once."""


class KeyPage(Schema):
    items: list[KeyOut]
    next: str | None


@router.get("/keys", auth=ADMIN, response=KeyPage)
def get_keys(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> KeyPage:
    """Keys, newest first, the revoked ones too; a limited admin sees those that reach nowhere else."""
    found, next_ = page(
        keys_for(request.auth),
        order=[("created_at", datetime), ("id", int)],
        newest_first=True,
        limit=limit,
        cursor=cursor or None,
        query={"list": "keys"},
    )
    made = names_made()
    return KeyPage(items=[KeyOut.of(key, made[key.pk]) for key in found], next=next_)


@router.post("/keys", auth=ADMIN, response={201: KeyMade})
def post_key(request: Authed, body: KeyIn, response: HttpResponse) -> Status[KeyMade]:
    """Makes a key. Its text is in `key` of this answer, and nowhere else. An unknown environment is made."""
    key, text = create_api_key(
        name=body.name.strip(),
        scopes=body.scopes,
        environment=body.environment,
        services=body.services,
        events_per_second=body.events_per_second,
        names_max=body.names_max,
        by=request.auth,
    )
    response["Cache-Control"] = "no-store"
    key = ApiKey.objects.select_related("environment", "created_by").get(pk=key.pk)
    return Status(201, KeyMade(**KeyOut.of(key, 0).model_dump(), key=text))


@router.get("/keys/{key_id}", auth=ADMIN, response=KeyOut)
def get_key(request: Authed, key_id: str) -> KeyOut:
    """One key."""
    key = keys_for(request.auth).filter(pk=row_id(key_id)).first()
    if key is None:
        raise NotFound("No such key.")
    return KeyOut.of(key, names_made()[key.pk])


@router.put("/keys/{key_id}", auth=ADMIN, response=KeyOut)
def put_key(request: Authed, key_id: str, body: KeyLimits) -> KeyOut:
    """Sets what it may send and make, from within 5 s on; what it may do and where it reaches stays for good."""
    key = limit_api_key(
        row_id(key_id),
        events_per_second=body.events_per_second,
        names_max=body.names_max,
        by=request.auth,
    )
    return KeyOut.of(key, names_made()[key.pk])


@router.delete("/keys/{key_id}", auth=ADMIN, response={204: None})
def delete_key(request: Authed, key_id: str) -> Status[None]:
    """Revokes it for good: whatever uses it is refused, and its sockets end, within 5 s."""
    revoke_api_key(row_id(key_id), by=request.auth, now=timezone.now())
    return Status(204, None)
