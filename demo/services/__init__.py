"""The programs of the demo's systems, one a module, run as `python -m demo.services.NAME`."""
