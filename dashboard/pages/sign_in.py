"""`/login/` and `/logout/`."""

from __future__ import annotations

from typing import Any

import structlog
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from dashboard import attempts
from dashboard.pages.words import GRAVITY

_log = structlog.get_logger(__name__)


class SignInForm(AuthenticationForm):
    """Looks at no password while too many were wrong."""

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name and password:
            wait = attempts.count_try(name, address_of(self.request))
            if wait:
                raise ValidationError(too_many(wait), code="too_many")
        return super().clean()


class SignIn(LoginView):
    """Fields `username` and `password`; someone who is signed in already goes on to the board."""

    template_name = "login.html"
    redirect_authenticated_user = True
    form_class = SignInForm
    extra_context = {"states": GRAVITY}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        attempts.take_back(form.cleaned_data["username"], address_of(self.request))
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error("__all__", code="too_many"):
            response.status_code = 429
        elif form.has_error("__all__"):
            _log.info("sign-in failed", address=address_of(self.request))
        return response


def too_many(wait_s: int) -> str:
    """Why a password was not looked at, and until when none will be."""
    wait = f"{wait_s} s" if wait_s < 60 else f"{-(-wait_s // 60)} min"
    return f"Too many failed tries. Wait {wait}, then try again."


def address_of(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""


class SignOut(LogoutView):
    """By POST alone, so that no foreign link can sign anybody out."""
