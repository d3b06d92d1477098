"""`manage.py changepassword [NAME]`: Django's own, and the audit log has it."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from breakers.access import actor_of_command
from breakers.audit import record
from breakers.models import Person


class Command(changepassword.Command):
    help = "Asks for a new password of a person; their sessions and sockets end."

    def handle(self, *args: Any, **options: Any) -> str | None:
        name = options["username"] or getpass.getuser()
        # Open while somebody types, and holds no lock: nothing is written before both passwords agree.
        with transaction.atomic():
            said = super().handle(*args, **{**options, "username": name})
            person = Person.objects.get(username=name)
            record(
                actor_of_command("changepassword"),
                "set_password",
                kind="person",
                id=person.pk,
                subject=person.username,
            )
        return said
