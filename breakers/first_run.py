"""Who can get in after the first start: the person `admin`, and the key that the environment names."""

from __future__ import annotations

import secrets

from breakers.access import Actor
from breakers.keys import ensure_api_key
from breakers.models import Person, Role, Scope
from breakers.people import create_person, set_password

BOOTSTRAP_KEY_MIN = 24


class WeakBootstrapKey(ValueError):
    """The environment's key is too short to be let in."""


def ensure_admin(password: str | None, *, by: Actor) -> str | None:
    """The person `admin` exists afterwards. Given a password, it is theirs from now on; without one, a
    new `admin` gets a made one, which is returned to be shown once."""
    admin = Person.objects.filter(username="admin").first()
    if admin is None:
        made = None if password else secrets.token_urlsafe(12)
        create_person(username="admin", password=password or made or "", role=Role.ADMIN, by=by)
        return made
    if password and not admin.check_password(password):
        set_password(admin.pk, password, by=by)
    return None


def ensure_bootstrap_key(text: str, *, by: Actor) -> None:
    """A key with this very text and all scopes exists afterwards; raises WeakBootstrapKey."""
    if len(text) < BOOTSTRAP_KEY_MIN:
        raise WeakBootstrapKey(
            f"PANELBOARD_BOOTSTRAP_KEY must have {BOOTSTRAP_KEY_MIN} characters or more"
        )
    ensure_api_key(name="bootstrap", scopes=Scope.values, text=text, by=by)
