"""History out to a file and in from one: `manage.py export` and `manage.py import`. docs/operating.md has the how."""
