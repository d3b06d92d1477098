"""`{% load panel %}`."""

from dashboard.pages.tags import register

__all__ = ["register"]
