"""People at the pages."""

from __future__ import annotations

from django.test import Client

from breakers.models import Environment, Person, Role

PASSWORD = "long enough to sign in"


def signed_in(role: Role, *environments: str) -> Client:
    """Somebody called by their role, such as "a viewer", within these environments (none: all)."""
    person = Person.objects.create_person(username=f"a {role}", password=PASSWORD, role=role)
    for name in environments:
        person.environments.add(Environment.objects.get_or_create(name=name)[0])
    client = Client()
    assert client.login(username=person.username, password=PASSWORD)
    return client


def text_of(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return answer.content.decode()
