"""The management API of breakers: parse, get rows through access, call one verb, render."""

from ninja import Router

from breakers.api.breakers import router as _breakers
from breakers.api.control import router as _control
from breakers.api.metrics import router as _metrics
from breakers.api.registry import router as _registry
from breakers.api.reports import router as _reports
from breakers.api.who import router as _who

router = Router()
for _part in (_breakers, _metrics, _control, _registry, _reports, _who):
    router.add_router("", _part)
