from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from alerts.sealing import SecretsUnreadable, seal, unseal

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def keys(settings):
    def use(*texts: str) -> None:
        joined = SecretStr(",".join(texts)) if texts else None
        settings.CONFIG = SimpleNamespace(encryption_keys=joined)

    return use


def test_what_is_sealed_reads_back_and_shows_nothing(keys):
    keys()
    sealed = seal({"secret": "whsec_abc"})

    assert "whsec" not in sealed
    assert unseal(sealed) == {"secret": "whsec_abc"}


def test_nothing_to_hide_is_nothing():
    assert seal({}) == ""
    assert unseal("") == {}


def test_a_new_key_in_front_still_reads_the_old(keys):
    keys(OLD)
    sealed = seal({"secret": "s"})
    keys(NEW, OLD)

    assert unseal(sealed) == {"secret": "s"}


def test_without_the_key_it_raises_and_says_nothing_of_the_secret(keys, settings):
    keys()
    sealed = seal({"secret": "whsec_abc"})
    settings.SECRET_KEY = "another secret key, of the length that Django wants for one"

    with pytest.raises(SecretsUnreadable) as raised:
        unseal(sealed)
    assert "whsec" not in str(raised.value)
