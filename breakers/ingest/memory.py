"""What a writer remembers between commits; all of it can be forgotten."""

from __future__ import annotations

from breakers.ingest.partitions import Partitions
from breakers.ingest.registry import Registry
from breakers.ingest.remembered import Remembered, Spoken


class Memory:
    def __init__(self) -> None:
        self.registry = Registry()
        self.partitions = Partitions()
        self.states = Remembered()
        self.spoken = Spoken()

    def forget(self) -> None:
        """Something was not as remembered: look again."""
        self.registry.forget()
        self.partitions.forget()
        self.states.forget()
        self.spoken = Spoken()
