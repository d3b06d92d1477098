"""`manage.py prepare`: what must be true of the database before web and worker start; repeating it is harmless."""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader

from breakers.access import actor_of_command
from breakers.first_run import WeakBootstrapKey, ensure_admin, ensure_bootstrap_key
from breakers.grants import grant_program_role
from breakers.keys import ensure_api_key
from dashboard.settings import database

DEMO_SCOPES = ("ingest", "agent", "read", "operate", "admin")


class Command(BaseCommand):
    help = "Migrates the database as its owner, gives the program its rights, and lets the first person in."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--report-fd", type=int, help="where to write what was made, as JSON")

    def handle(self, *args: Any, report_fd: int | None, **options: Any) -> None:
        program = connection.settings_dict["USER"]
        connection.settings_dict.update(database(settings.DATABASE_OWNER_URL))
        try:
            connection.ensure_connection()
        except OperationalError as problem:
            raise CommandError(f"PostgreSQL does not let us in: {problem}") from None
        refuse_a_newer_schema()
        call_command("migrate", verbosity=0, interactive=False)
        if program and program != connection.settings_dict["USER"]:
            grant_program_role(program)
        config, by = settings.CONFIG, actor_of_command("prepare")
        made = ensure_admin(
            config.admin_password.get_secret_value() if config.admin_password else None, by=by
        )
        if config.bootstrap_key:
            try:
                ensure_bootstrap_key(config.bootstrap_key.get_secret_value(), by=by)
            except WeakBootstrapKey as problem:
                raise CommandError(str(problem)) from None
        if config.demo_key:
            # The one that this data directory keeps for its demo.
            ensure_api_key(
                name="demo", scopes=DEMO_SCOPES, text=config.demo_key.get_secret_value(), by=by
            )
        if report_fd is not None:
            with os.fdopen(report_fd, "w") as report:
                json.dump({"admin_password": made}, report)
        elif made:
            self.stdout.write(f"Sign in as admin with the password {made} (shown only this once).")


def refuse_a_newer_schema() -> None:
    """Raises CommandError if a later version has migrated this database; nothing is changed then."""
    loader = MigrationLoader(connection)
    ours = loader.migrated_apps
    unknown = sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations
        if app in ours
        and (app, name) not in loader.disk_migrations
        and (app, name) not in _replaced(loader)
    )
    if unknown:
        raise CommandError(
            f"The database was migrated by a newer Panelboard (it has {unknown[-1]}): run that version."
        )


def _replaced(loader: MigrationLoader) -> set[tuple[str, str]]:
    return {key for migration in loader.replacements.values() for key in migration.replaces}
