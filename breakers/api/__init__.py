"""The management API of breakers: parse, get rows through access, call one verb, render."""

from ninja import Router

from breakers.api.approvals import router as _approvals
from breakers.api.breakers import router as _breakers
from breakers.api.control import router as _control
from breakers.api.environments import router as _environments
from breakers.api.keys import router as _keys
from breakers.api.metrics import router as _metrics
from breakers.api.names import router as _names
from breakers.api.people import router as _people
from breakers.api.registry import router as _registry
from breakers.api.reports import router as _reports
from breakers.api.who import router as _who

router = Router()
for _part in (
    _breakers,
    _metrics,
    _control,
    _approvals,
    _environments,
    _registry,
    _reports,
    _who,
    _keys,
    _people,
    _names,
):
    router.add_router("", _part)
