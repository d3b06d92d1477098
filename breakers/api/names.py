"""Renaming and removing services, breakers and instances."""

from __future__ import annotations

from typing import Literal

from django.utils import timezone
from ninja import Router, Schema, Status

from breakers import access
from breakers.api.auth import ADMIN
from breakers.api.body import Body
from breakers.api.shapes import Authed, Name, Reason, storable
from breakers.removing import remove_instance, remove_service
from breakers.renaming import rename_breaker, rename_instance, rename_service

router = Router(tags=["registry"])


class RenameIn(Body):
    name: Name
    reason: Reason


class RemoveIn(Body):
    """`history`: `keep` it until it is old, or `erase` it, which takes a while and cannot be undone."""

    reason: Reason
    history: Literal["keep", "erase"] = "keep"


class NamedOut(Schema):
    id: str
    name: str


@router.post("/services/{service_id}/rename", auth=ADMIN, response=NamedOut)
def post_service_rename(request: Authed, service_id: str, body: RenameIn) -> NamedOut:
    """Renames a service. What reports under the former name goes on there; keys, rules and channels that are limited
    to it reach it by both. Matchers of rules are texts, and stay as they are."""
    service = access.service_to_name(request.auth, service_id)
    storable(("reason",), body.reason)
    renamed = rename_service(service, body.name, reason=body.reason, by=request.auth)
    return NamedOut(id=str(renamed.pk), name=renamed.name)


@router.post("/breakers/{breaker_id}/rename", auth=ADMIN, response=NamedOut)
def post_breaker_rename(request: Authed, breaker_id: str, body: RenameIn) -> NamedOut:
    """Renames a breaker. What reports under the former name goes on there, and its agents hear of it by that."""
    breaker = access.breaker_to_name(request.auth, breaker_id)
    storable(("reason",), body.reason)
    renamed = rename_breaker(breaker, body.name, reason=body.reason, by=request.auth)
    return NamedOut(id=str(renamed.pk), name=renamed.name)


@router.post("/instances/{instance_id}/rename", auth=ADMIN, response=NamedOut)
def post_instance_rename(request: Authed, instance_id: str, body: RenameIn) -> NamedOut:
    """Renames an instance; its agent is asked to say hello again. Overrides that name it follow."""
    instance = access.instance_to_name(request.auth, instance_id)
    storable(("reason",), body.reason)
    renamed = rename_instance(instance, body.name, reason=body.reason, by=request.auth)
    return NamedOut(id=str(renamed.pk), name=renamed.name)


@router.delete("/services/{service_id}", auth=ADMIN, response={204: None})
def delete_service(request: Authed, service_id: str, body: RemoveIn) -> Status[None]:
    """Removes a service with its breakers and instances. One that reports again is made anew."""
    service = access.service_to_name(request.auth, service_id)
    storable(("reason",), body.reason)
    remove_service(
        service, history=body.history, reason=body.reason, by=request.auth, now=timezone.now()
    )
    return Status(204, None)


@router.delete("/instances/{instance_id}", auth=ADMIN, response={204: None})
def delete_instance(request: Authed, instance_id: str, body: RemoveIn) -> Status[None]:
    """Removes an instance from all breakers. One that reports again is made anew."""
    instance = access.instance_to_name(request.auth, instance_id)
    storable(("reason",), body.reason)
    remove_instance(
        instance, history=body.history, reason=body.reason, by=request.auth, now=timezone.now()
    )
    return Status(204, None)
