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
        Fault(
            "catalog-errors",
            service="catalog",
            mode="errors",
            opens=(("orders", "catalog"),),
            label="Break catalog",
            effect="Catalog answers with errors",
        ),
        Fault(
            "catalog-slow",
            service="catalog",
            mode="slow",
            opens=(("orders", "catalog"),),
            label="Slow catalog",
            effect="Catalog takes 3 s to answer",
        ),
        Fault(
            "users-errors",
            service="users",
            mode="errors",
            opens=(("orders", "users"),),
            label="Break users",
            effect="Users answers with errors",
        ),
    ),
    entrance="orders",
    # Four a second: three failures in a row, and the breaker is open, within a second; three
    # trials after its rest, and it is closed, within another.
    requests_per_s=4.0,
)
