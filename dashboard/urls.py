"""Paths of everything that Django itself serves."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from dashboard.api import api
from dashboard.asyncapi import PATH, asyncapi

urlpatterns: list[URLPattern | URLResolver] = [
    path(PATH.removeprefix("/"), asyncapi),
    path("api/v1/", api.urls),
    path("", include("dashboard.pages.urls")),
]
