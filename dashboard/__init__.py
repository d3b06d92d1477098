"""The Django project: settings, wiring, pages and the `up` command."""
