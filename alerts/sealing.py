"""Secrets at rest: encrypted with the newest key, readable with any, and never in a log.

The keys are `PANELBOARD_ENCRYPTION_KEYS`, or else one derived from the secret key.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SecretsUnreadable(Exception):
    """No key at hand fits; says nothing of what was sealed."""

    def __init__(self) -> None:
        super().__init__(
            "The secrets of this channel cannot be decrypted with the present keys. "
            "Restore the key, or enter the secrets again."
        )


def seal(secrets: Mapping[str, Any]) -> str:
    """Text that only `unseal` can read; nothing to hide is the empty string."""
    return _keys().encrypt(msgspec.json.encode(secrets)).decode() if secrets else ""


def unseal(sealed: str) -> dict[str, Any]:
    """What was sealed; raises SecretsUnreadable."""
    if not sealed:
        return {}
    try:
        text = _keys().decrypt(sealed.encode())
    except InvalidToken:
        raise SecretsUnreadable from None
    return msgspec.json.decode(text, type=dict[str, Any])


def _keys() -> MultiFernet:
    said = settings.CONFIG.encryption_keys
    if said is not None and said.get_secret_value().strip():
        texts = [one.strip() for one in said.get_secret_value().split(",") if one.strip()]
        return MultiFernet([Fernet(one) for one in texts])
    derived = HKDF(
        algorithm=SHA256(), length=32, salt=None, info=b"panelboard channel secrets"
    ).derive(settings.SECRET_KEY.encode())
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derived))])
