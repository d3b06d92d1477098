"""Paths of everything that Django itself serves."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from dashboard.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", api.urls),
    path("", include("dashboard.pages.urls")),
]
