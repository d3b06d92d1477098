"""The environment, read once and typed. Nothing else in the project looks at it.

Where no URL names PostgreSQL or Redis, the running system is found by the data directory: `manage.py up`
leaves the addresses of its own servers in `run.json` there, readable by its owner alone.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

RUN_FILE = "run.json"
SECRET_KEY_FILE = "secret_key"  # noqa: S105 - a file name
SECRET_KEY_MIN = 20
"""Characters; ours have 67."""


class Config(BaseSettings):
    """Settings by their environment variables; secrets print as stars."""

    model_config = SettingsConfigDict(env_file=None, extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    """PostgreSQL as the program's role; unset: the server that `up` keeps in the data directory."""
    database_owner_url: SecretStr | None = None
    """PostgreSQL as the role that migrates and owns the tables; unset: the same as `database_url`."""
    redis_url: SecretStr | None = None
    secret_key: SecretStr | None = None
    allowed_hosts: str = "127.0.0.1,localhost,[::1]"
    """Commas between; the host of `public_url` is always allowed."""
    public_url: str = "http://127.0.0.1:8000"
    data_dir: Path = Field(default=Path(".panelboard"), validation_alias="PANELBOARD_DATA_DIR")
    email_url: SecretStr | None = None
    admin_password: SecretStr | None = Field(
        default=None, validation_alias="PANELBOARD_ADMIN_PASSWORD"
    )
    bootstrap_key: SecretStr | None = Field(
        default=None, validation_alias="PANELBOARD_BOOTSTRAP_KEY"
    )
    demo_key: SecretStr | None = Field(default=None, validation_alias="PANELBOARD_DEMO_KEY")
    """Set by `up --demo` alone: the key that the demo's processes use."""
    webhook_allow: str = Field(default="", validation_alias="PANELBOARD_WEBHOOK_ALLOW")
    """Hosts and networks that webhooks may reach although they are not public; commas between."""
    retention_days: int = Field(
        default=90, ge=8, le=36_500, validation_alias="PANELBOARD_RETENTION_DAYS"
    )
    """Of events, which may come up to 7 days late; what is dropped leaves a checkpoint behind."""
    snapshot_retention_days: int = Field(
        default=14, ge=1, le=36_500, validation_alias="PANELBOARD_SNAPSHOT_RETENTION_DAYS"
    )
    encryption_keys: SecretStr | None = Field(
        default=None, validation_alias="PANELBOARD_ENCRYPTION_KEYS"
    )
    """Fernet keys, newest first, commas between; unset: one derived from `secret_key`."""
    trusted_proxies: str = Field(default="", validation_alias="PANELBOARD_TRUSTED_PROXIES")
    """Addresses and networks whose `X-Forwarded-For` and `-Proto` are believed; commas between, `*` for all."""
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", validation_alias="PANELBOARD_LOG_FORMAT"
    )
    """`auto`: text on a terminal, else JSON."""


class Damaged(Exception):
    """A file of the data directory is not what it should be; the message says what to do."""


def _found(data_dir: Path) -> dict[str, str]:
    """What a running `up` left in the data directory: no file, nothing. Raises Damaged."""
    path = data_dir / RUN_FILE
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Damaged(f"{path.absolute()} is damaged: start `manage.py up` again, which writes it.")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def kept_secret_key(data_dir: Path) -> str:
    """The secret key of this data directory, made on first need; two makers agree on one. Raises Damaged."""
    path = data_dir / SECRET_KEY_FILE
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    mine = path.with_name(f".{SECRET_KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    mine.touch(mode=0o600)
    mine.write_text(secrets.token_urlsafe(50))
    try:
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    return _read_key(path)


def _read_key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except ValueError:  # no text
        key = ""
    if len(key) < SECRET_KEY_MIN:
        raise Damaged(
            f"{path.absolute()} is damaged: restore it from a backup. Without the key that it held, channels "
            "must be given their secrets again and people sign in again; if it is lost, delete the file."
        )
    return key


@cache
def load() -> Config:
    """The configuration of this process."""
    config = of_environment()
    try:
        return _completed(config)
    except Damaged as damaged:
        sys.exit(str(damaged))


def of_environment() -> Config:
    """What the environment says, and nothing else; ends the program where that cannot be."""
    try:
        return Config()
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False, include_input=False, include_context=False)
        sys.exit("\n".join(_told(**error) for error in errors))


def _told(*, loc: tuple[int | str, ...], msg: str, **_: object) -> str:
    """A wrong setting by the name of its variable; not what it is, which may be a secret."""
    return f"{'.'.join(map(str, loc)).upper()} is not right: {msg[:1].lower()}{msg[1:]}."


def _completed(config: Config) -> Config:
    """With what the data directory has where the environment names nothing. Raises Damaged."""
    names_all = config.database_url is not None and config.redis_url is not None
    try:
        found = _found(config.data_dir)
    except Damaged:
        if not names_all:
            raise
        found = {}
    update: dict[str, object] = {}
    for name in ("database_url", "database_owner_url", "redis_url"):
        belongs_elsewhere = name == "database_owner_url" and config.database_url is not None
        if getattr(config, name) is None and name in found and not belongs_elsewhere:
            update[name] = SecretStr(found[name])
    if "public_url" in found and "public_url" not in config.model_fields_set:
        update["public_url"] = found["public_url"]
    if config.secret_key is None:
        try:
            update["secret_key"] = SecretStr(kept_secret_key(config.data_dir))
        except OSError as error:
            sys.exit(
                f"The data directory {config.data_dir.absolute()} cannot be used: {error.strerror} "
                f"({error.filename}). Start Panelboard as the user it belongs to, or set PANELBOARD_DATA_DIR."
            )
    return config.model_copy(update=update)
