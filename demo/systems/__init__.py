"""The systems that `demo.run` knows, each a module of its own."""

from demo.system import System
from demo.systems.shop import SHOP

SYSTEMS: dict[str, System] = {system.name: system for system in (SHOP,)}
