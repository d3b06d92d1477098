# Everything a newcomer or a contributor calls. `make up` and `make test` work from a fresh clone.

# The first Python that is recent enough; `make PYTHON=…` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: setup dev up test check fix screenshots

setup: python
	@$(PYTHON) scripts/setup.py

dev: python
	@$(PYTHON) scripts/setup.py --dev

# The whole system with the demo, in the foreground; Ctrl-C ends it. `make up ARGS="--port 9000"` adds to it.
up: setup
	@exec .venv/bin/python manage.py up --demo $(ARGS)

# All tests that this machine can run; `make test T=tests/breakers` runs some.
test: dev
	@.venv/bin/python scripts/test.py $(T)

check: dev
	@.venv/bin/python scripts/check.py

fix: dev
	@.venv/bin/ruff check --fix-only -q .
	@.venv/bin/ruff format -q .

screenshots: dev
	@.venv/bin/python scripts/screenshots.py $(ARGS)

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "Panelboard needs Python 3.11 or later, and finds none on PATH." >&2; exit 1; }
