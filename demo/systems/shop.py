"""A shop: orders asks catalog for products and users for the customer, both behind breakers."""

from demo.system import Fault, Service, System

SHOP = System(
    name="shop",
    services=(
        Service("catalog", copies=2),
        Service("users", copies=2),
        Service("orders", copies=3, calls=("catalog", "users")),
    ),
    faults=(
        Fault("catalog-errors", "catalog", "errors", (("orders", "catalog"),), "Break catalog"),
        Fault("catalog-slow", "catalog", "slow", (("orders", "catalog"),), "Slow catalog"),
        Fault("users-errors", "users", "errors", (("orders", "users"),), "Break users"),
    ),
    entrance="orders",
    # Four a second: three failures in a row, and the breaker is open, within a second; three
    # trials after its rest, and it is closed, within another.
    requests_per_s=4.0,
)
