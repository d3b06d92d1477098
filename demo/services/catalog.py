"""The catalog: the shop's products."""

from __future__ import annotations

from demo.http import Request, Response, as_json
from demo.services.process import Faults, instance_name, run

PRODUCTS = [
    {"sku": "LMP-01", "name": "Desk lamp", "price": 39.0},
    {"sku": "KTL-02", "name": "Kettle", "price": 54.5},
    {"sku": "RAD-03", "name": "Radio", "price": 72.0},
    {"sku": "FAN-04", "name": "Table fan", "price": 28.9},
    {"sku": "CLK-05", "name": "Wall clock", "price": 33.0},
]


def main() -> None:
    faults = Faults()

    def products(_: Request) -> Response:
        return faults.suffer() or as_json({"products": PRODUCTS, "from": instance_name()})

    run({("GET", "/products"): products, ("POST", "/faults"): faults.set})


if __name__ == "__main__":
    main()
