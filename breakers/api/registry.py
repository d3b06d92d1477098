"""Who is there: services, instances and targets."""

from __future__ import annotations

from ninja import Router

from breakers import access
from breakers.api.shapes import Authed, Limit, Rows
from breakers.cursor import LIMIT_DEFAULT
from breakers.models import Scope
from breakers.registry_read import instances_seen, services_seen, targets_seen

router = Router(tags=["registry"])


@router.get("/services", response=Rows)
def get_services(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Services with their numbers of breakers and instances."""
    access.require(request.auth, Scope.READ)
    items, next_ = services_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/instances", response=Rows)
def get_instances(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Instances that are not retired."""
    access.require(request.auth, Scope.READ)
    items, next_ = instances_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/targets", response=Rows)
def get_targets(request: Authed) -> Rows:
    """What breakers guard, with the number of breakers on each."""
    access.require(request.auth, Scope.READ)
    return Rows(items=targets_seen(request.auth), next=None)
