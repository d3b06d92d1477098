"""Who can get in after the first start: the person `admin`, and the key that the environment names."""

from __future__ import annotations

import secrets

from breakers.keys import create_api_key, key_hash
from breakers.models import ApiKey, Person, Role, Scope

BOOTSTRAP_KEY_MIN = 24


class WeakBootstrapKey(ValueError):
    """The environment's key is too short to be let in."""


def ensure_admin(password: str | None) -> str | None:
    """The person `admin` exists afterwards. Given a password, it is theirs from now on; without one, a
    new `admin` gets a made one, which is returned to be shown once."""
    admin = Person.objects.filter(username="admin").first()
    if admin is None:
        made = None if password else secrets.token_urlsafe(12)
        Person.objects.create_person(
            username="admin", password=password or made or "", role=Role.ADMIN
        )
        return made
    if password and not admin.check_password(password):
        admin.set_password(password)
        admin.save(update_fields=["password"])
    return None


def ensure_bootstrap_key(text: str) -> None:
    """A key with this very text and all scopes exists afterwards; raises WeakBootstrapKey."""
    if len(text) < BOOTSTRAP_KEY_MIN:
        raise WeakBootstrapKey(
            f"PANELBOARD_BOOTSTRAP_KEY must have {BOOTSTRAP_KEY_MIN} characters or more"
        )
    key = ApiKey.objects.filter(hash=key_hash(text)).first()
    if key is None:
        create_api_key(name="bootstrap", scopes=Scope.values, text=text)
    elif key.revoked_at is not None or key.environment_id or key.service_names:
        key.revoked_at, key.environment, key.service_names = None, None, None
        key.scopes = sorted(Scope.values)
        key.save()
