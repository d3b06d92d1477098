"""Users: who is asking."""

from __future__ import annotations

import itertools

from demo.http import Request, Response, as_json
from demo.services.process import Faults, instance_name, run

NAMES = ["Amara", "Bo", "Chidi", "Dana", "Emil", "Farah", "Goran", "Hana"]


def main() -> None:
    faults = Faults()
    turn = itertools.cycle(NAMES)

    def user(_: Request) -> Response:
        return faults.suffer() or as_json({"name": next(turn), "from": instance_name()})

    run({("GET", "/user"): user, ("POST", "/faults"): faults.set})


if __name__ == "__main__":
    main()
