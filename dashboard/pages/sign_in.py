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
        name, address = str(self.cleaned_data.get("username", "")), _address(self.request)
        wait = attempts.wait_s(name, address)
        if wait:
            text = f"Too many failed tries. Wait {-(-wait // 60)} min, then try again."
            raise ValidationError(text, code="too_many")
        return super().clean()


class SignIn(LoginView):
    """Fields `username` and `password`; someone who is signed in already goes on to the board."""

    template_name = "login.html"
    redirect_authenticated_user = True
    form_class = SignInForm
    extra_context = {"states": GRAVITY}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        attempts.forget(str(form.cleaned_data["username"]))
        return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.has_error("__all__", code="too_many"):
            response.status_code = 429
        elif form.has_error("__all__"):
            address = _address(self.request)
            attempts.note_failure(form.data.get("username", ""), address)
            _log.info("sign-in failed", address=address)
        return response


def _address(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""


class SignOut(LogoutView):
    """By POST alone, so that no foreign link can sign anybody out."""
