"""Who may: people with roles, keys with scopes, each optionally limited to environments or services."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from breakers.models.registry import NAME_MAX, Environment


class Role(models.TextChoices):
    """Of a person; each can do what the one before can."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Scope(models.TextChoices):
    """Of a key; none contains another."""

    INGEST = "ingest"
    AGENT = "agent"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class PersonManager(BaseUserManager["Person"]):
    def create_person(self, *, username: str, password: str, role: Role) -> Person:
        """A person who can sign in with this password."""
        person = self.model(username=self.model.normalize_username(username), role=role)
        person.set_password(password)
        person.save(using=self._db)
        return person


class Person(AbstractBaseUser):
    """Someone who signs in. No `environments`: all of them."""

    username = models.CharField(max_length=150, unique=True)
    email = models.EmailField(blank=True, default="")
    role = models.CharField(max_length=8, choices=Role, default=Role.VIEWER)
    environments = models.ManyToManyField(Environment, blank=True, related_name="+")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    objects = PersonManager()

    class Meta:
        db_table = "person"
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="person_role")
        ]

    def __str__(self) -> str:
        return self.username


class ApiKey(models.Model):
    """A key of the API, of which only the SHA-256 is kept (keys are random, so a plain hash is enough)."""

    name = models.CharField(max_length=NAME_MAX)
    hash = models.BinaryField(max_length=32, unique=True)
    hint = models.CharField(max_length=12)
    """The first characters, by which people tell keys apart."""
    scopes = ArrayField(models.CharField(max_length=8, choices=Scope))
    environment = models.ForeignKey(Environment, models.PROTECT, null=True, related_name="+")
    service_names = ArrayField(models.CharField(max_length=NAME_MAX), null=True)
    """Limits by name, for services need not exist yet; null: all of the environment."""
    events_per_second = models.PositiveIntegerField(null=True)
    """How fast it may send events, in each process; null: as fast as any key."""
    names_max = models.PositiveIntegerField(null=True)
    """How many names it may make (see `breakers.ingest.bounds`); null: as many as any key."""
    names_refused = models.BigIntegerField(db_default=0)
    """Events and hellos that were refused because it had made as many as it may."""
    names_refused_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(Person, models.SET_NULL, null=True, related_name="+")
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_key"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values) & ~models.Q(scopes=[]),
                name="api_key_scopes",
            )
        ]

    def __str__(self) -> str:
        return self.name
