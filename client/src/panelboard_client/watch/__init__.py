"""The breaker libraries that can be watched: one module each, named as the library.

A module is named as its library is imported, and has one function, `adapt(breaker)`, that
answers an Adapter or raises TypeError. Names with an underscore in front are no library's. The
libraries themselves are never required: a module is loaded when one of its breakers turns up.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any, List

from panelboard_client.adapter import Adapter


def supported() -> List[str]:
    """The libraries whose breakers `Panel.watch` takes."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in modules if not name.startswith("_"))


def adapter_for(breaker: Any) -> Adapter:
    """Raises TypeError, naming what is supported, for anything else."""
    known = supported()
    for base in type(breaker).__mro__:
        library = base.__module__.partition(".")[0]
        if library in known:
            adapter: Adapter = import_module(f"{__name__}.{library}").adapt(breaker)
            return adapter
    kind = f"{type(breaker).__module__}.{type(breaker).__qualname__}"
    raise TypeError(
        f"cannot watch {kind}: this version of panelboard-client watches breakers of "
        f"{', '.join(known)} only"
    )
