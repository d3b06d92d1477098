"""`/login/` and `/logout/`."""

from __future__ import annotations

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView

from dashboard.pages.words import GRAVITY


class SignIn(LoginView):
    """Fields `username` and `password`; someone who is signed in already goes on to the board."""

    template_name = "login.html"
    redirect_authenticated_user = True
    form_class = AuthenticationForm
    extra_context = {"states": GRAVITY}


class SignOut(LogoutView):
    """By POST alone, so that no foreign link can sign anybody out."""
