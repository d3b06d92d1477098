"""The API of alerting: parse, get rows through access, call one verb, render."""

from ninja import Router

from alerts.api.channels import router as _channels
from alerts.api.deliveries import router as _deliveries
from alerts.api.incidents import router as _incidents
from alerts.api.policies import router as _policies
from alerts.api.rules import router as _rules

router = Router()
router.add_router("/rules", _rules, tags=["rules"])
router.add_router("/policies", _policies, tags=["policies"])
router.add_router("/channels", _channels, tags=["channels"])
router.add_router("/incidents", _incidents, tags=["incidents"])
router.add_router("/deliveries", _deliveries, tags=["incidents"])
