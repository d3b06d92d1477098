"""Answers that no view gave: in the API's form under /api/, and a page that says so where the database is away."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.problems import DATABASE_AWAY, is_away, is_held, problem

Respond = Callable[[HttpRequest], HttpResponse]
_API = "/api/"


class AnswersMiddleware:
    """Outermost of ours, so that it sees what the others and Django itself answer."""

    def __init__(self, get_response: Respond) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return self._refuse_nul(request)
        response = self._get_response(request)
        media = response.get("Content-Type", "")
        if request.path.startswith(_API) and response.status_code >= 400 and "json" not in media:
            status = HTTPStatus(response.status_code)
            told = problem(status, status.phrase, status.description or status.phrase)
            for name in ("Allow", "Retry-After"):
                if name in response:
                    told[name] = response[name]
            return told
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A page without a database: what is so, and that it tries again by itself."""
        if not is_away(error):
            return None
        response = render(request, "away.html", {"is_held": is_held(error)}, status=503)
        response["Retry-After"] = str(DATABASE_AWAY.retry_after)
        return response

    @staticmethod
    def _refuse_nul(request: HttpRequest) -> HttpResponse:
        """NUL can be in no name, so nothing is found by it; PostgreSQL would not even take the question."""
        if request.path.startswith(_API) and "\0" not in request.path:
            errors = [{"loc": ["query"], "msg": "must not hold NUL"}]
            return problem(422, "Invalid input", "The query must not hold NUL.", errors)
        if request.path.startswith(_API):
            return problem(404, "Not found", "There is nothing here.")
        if "\0" in request.path:
            return render(request, "404.html", status=404)
        return HttpResponse("Bad request", status=400, content_type="text/plain")
