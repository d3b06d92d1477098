"""The paths of the pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard.pages import board, breaker, sign_in

urlpatterns: list[URLPattern] = [
    path("", board.board_page, name="board"),
    path("breakers/<str:breaker_id>/", breaker.breaker_page, name="breaker"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
]
