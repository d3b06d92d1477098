"""The only way from an actor to rows.

An actor is a person or a key, with what it can do and within which limits. Scopes are checked before
any look-up (`require`), and what lies outside the limits is not found, like what does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from breakers.errors import Forbidden, NotFound
from breakers.models import (
    ApiKey,
    Breaker,
    Environment,
    Instance,
    Named,
    Person,
    Removed,
    Role,
    Scope,
    Service,
)

ROLE_CAN = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.OPERATE}),
    Role.ADMIN: frozenset({Scope.READ, Scope.OPERATE, Scope.ADMIN}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who asks. Limits of `None` mean no limit; names, because what they name need not exist yet."""

    kind: str
    id: int
    name: str
    can: frozenset[Scope]
    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None
    events_per_second: int | None = None
    names_max: int | None = None
    """Of a key with figures of its own."""
    person: int | None = None
    """Whose word it is: the person's own id, or that of who made the key; None where nobody knows."""
    address: str | None = None
    request_id: str | None = None

    @property
    def limited(self) -> bool:
        return self.environments is not None or self.services is not None

    @property
    def default_environment(self) -> str:
        """Of what names none."""
        if self.environments is not None and len(self.environments) == 1:
            return next(iter(self.environments))
        return "default"

    def may_touch(self, *, environment: str, service: str) -> bool:
        """Whether a breaker of this service lies within the actor's limits."""
        return (self.environments is None or environment in self.environments) and (
            self.services is None or service in self.services
        )


def actor_of_person(
    person: Person, *, address: str | None = None, request_id: str | None = None
) -> Actor:
    """What a person may do by role and environments; one query."""
    names = frozenset(person.environments.values_list("name", flat=True))
    return Actor(
        kind="person",
        id=person.pk,
        name=person.username,
        can=ROLE_CAN[Role(person.role)],
        environments=names or None,
        person=person.pk,
        address=address,
        request_id=request_id,
    )


def actor_of_key(
    key: ApiKey, *, address: str | None = None, request_id: str | None = None
) -> Actor:
    """What a key may do by its scopes and limits; `key.environment` must be loaded."""
    return Actor(
        kind="key",
        id=key.pk,
        name=key.name,
        can=frozenset(Scope(scope) for scope in key.scopes),
        environments=frozenset({key.environment.name}) if key.environment else None,
        services=None if key.service_names is None else frozenset(key.service_names),
        events_per_second=key.events_per_second,
        names_max=key.names_max,
        person=key.created_by_id,
        address=address,
        request_id=request_id,
    )


def actor_of_command(name: str) -> Actor:
    """Whoever has a shell on the server, known by the command alone: `manage.py create_api_key`."""
    return Actor(kind="server", id=0, name=f"manage.py {name}", can=frozenset())


def require(actor: Actor, scope: Scope) -> None:
    """Raises Forbidden unless the actor has the scope."""
    if scope not in actor.can:
        raise Forbidden(f"This needs the scope or role for “{scope}”.")


def environments_for(actor: Actor) -> QuerySet[Environment]:
    rows = Environment.objects.all()
    return rows if actor.environments is None else rows.filter(name__in=actor.environments)


def services_for(actor: Actor) -> QuerySet[Service]:
    rows = Service.objects.all()
    if actor.environments is not None:
        rows = rows.filter(environment__name__in=actor.environments)
    return rows if actor.services is None else rows.filter(name__in=actor.services)


def breakers_for(actor: Actor) -> QuerySet[Breaker]:
    rows = Breaker.objects.select_related("service__environment")
    if actor.environments is not None:
        rows = rows.filter(service__environment__name__in=actor.environments)
    return rows if actor.services is None else rows.filter(service__name__in=actor.services)


def instances_for(actor: Actor) -> QuerySet[Instance]:
    rows = Instance.objects.select_related("service__environment")
    if actor.environments is not None:
        rows = rows.filter(service__environment__name__in=actor.environments)
    return rows if actor.services is None else rows.filter(service__name__in=actor.services)


def row_id(text: str) -> int:
    """The number behind an opaque id; a malformed one is not found."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and text[0] != "0"):
        raise NotFound("No such ID.")
    return int(text)


def breaker_to_see(actor: Actor, breaker_id: str) -> Breaker:
    require(actor, Scope.READ)
    return _breaker(actor, breaker_id)


def breaker_of_history(actor: Actor, breaker_id: str) -> Breaker:
    """A breaker of which history is to be read: also one that was removed and whose history was kept, which is
    in no table any more."""
    try:
        return breaker_to_see(actor, breaker_id)
    except NotFound:
        was = removed_breaker(actor, breaker_id)
    environment = Environment(name=was.environment)
    service = Service(pk=was.service_id, name=was.service, environment=environment)
    return Breaker(pk=was.of_id, service=service, name=was.name, target=was.target)


def removed_breaker(actor: Actor, breaker_id: str) -> Removed:
    """Raises NotFound where none of this id was removed, or its history too."""
    require(actor, Scope.READ)
    was = Removed.objects.filter(kind=Named.BREAKER, of_id=row_id(breaker_id), erase=False).first()
    if was is None or not actor.may_touch(environment=was.environment, service=was.service):
        raise NotFound("No such breaker.")
    return was


def breaker_to_name(actor: Actor, breaker_id: str) -> Breaker:
    """To rename or remove it."""
    require(actor, Scope.ADMIN)
    return _breaker(actor, breaker_id)


def service_to_name(actor: Actor, service_id: str) -> Service:
    """To rename or remove it."""
    require(actor, Scope.ADMIN)
    service = services_for(actor).filter(pk=row_id(service_id)).first()
    if service is None:
        raise NotFound("No such service.")
    return service


def instance_to_name(actor: Actor, instance_id: str) -> Instance:
    """To rename or remove it."""
    require(actor, Scope.ADMIN)
    instance = instances_for(actor).filter(pk=row_id(instance_id)).first()
    if instance is None:
        raise NotFound("No such instance.")
    return instance


def breaker_to_operate(actor: Actor, breaker_id: str) -> Breaker:
    require(actor, Scope.OPERATE)
    return _breaker(actor, breaker_id)


def instance_to_operate(actor: Actor, instance_id: str) -> Instance:
    require(actor, Scope.OPERATE)
    instance = instances_for(actor).filter(pk=row_id(instance_id)).first()
    if instance is None:
        raise NotFound("No such instance.")
    return instance


def _breaker(actor: Actor, breaker_id: str) -> Breaker:
    breaker = breakers_for(actor).filter(pk=row_id(breaker_id)).first()
    if breaker is None:
        raise NotFound("No such breaker.")
    return breaker
