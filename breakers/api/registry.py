"""Who is there: services, instances and targets."""

from __future__ import annotations

from ninja import Router, Status

from breakers import access
from breakers.agents.retire import retire_instance
from breakers.api.auth import OPERATE, READ
from breakers.api.body import HandBody
from breakers.api.shapes import Authed, Limit, Reason, Rows, storable
from breakers.cursor import LIMIT_DEFAULT
from breakers.registry_read import instances_seen, services_seen, targets_seen

router = Router(tags=["registry"])


@router.get("/services", auth=READ, response=Rows)
def get_services(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Services with their numbers of breakers and instances."""
    items, next_ = services_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


@router.get("/instances", auth=READ, response=Rows)
def get_instances(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """Instances that are not retired."""
    items, next_ = instances_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)


class RetireIn(HandBody):
    reason: Reason


@router.post("/instances/{instance_id}/retire", auth=OPERATE, response={204: None})
def post_retire(request: Authed, instance_id: str, body: RetireIn) -> Status[None]:
    """Takes an instance that is away off the board at once; its history stays, and its next word brings it back."""
    instance = access.instance_to_operate(request.auth, instance_id)
    storable(("reason",), body.reason)
    retire_instance(instance, reason=body.reason, by=request.auth)
    return Status(204, None)


@router.get("/targets", auth=READ, response=Rows)
def get_targets(request: Authed, limit: Limit = LIMIT_DEFAULT, cursor: str = "") -> Rows:
    """What breakers guard, with the number of breakers on each."""
    items, next_ = targets_seen(request.auth, limit=limit, cursor=cursor)
    return Rows(items=items, next=next_)
