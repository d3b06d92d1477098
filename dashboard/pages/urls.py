"""The paths of the pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard.pages import (
    api_docs,
    approvals,
    audit,
    board,
    breaker,
    channels,
    connect,
    deliveries,
    environments,
    incidents,
    instances,
    keys,
    overrides,
    password,
    people,
    policies,
    reports,
    rules,
    sign_in,
)

urlpatterns: list[URLPattern] = [
    path("", board.board_page, name="board"),
    path("breakers/<str:breaker_id>/", breaker.breaker_page, name="breaker"),
    path("incidents/", incidents.incidents_page, name="incidents"),
    path("incidents/<str:incident_id>/", incidents.incident_page, name="incident"),
    path("reports/", reports.reports_page, name="reports"),
    path("rules/", rules.rules_page, name="rules"),
    path("channels/", channels.channels_page, name="channels"),
    path("deliveries/", deliveries.deliveries_page, name="deliveries"),
    path("overrides/", overrides.overrides_page, name="overrides"),
    path("approvals/", approvals.approvals_page, name="approvals"),
    path("environments/", environments.environments_page, name="environments"),
    path("policies/", policies.policies_page, name="policies"),
    path("audit/", audit.audit_page, name="audit"),
    path("instances/", instances.instances_page, name="instances"),
    path("connect/", connect.connect_page, name="connect"),
    path("people/", people.people_page, name="people"),
    path("password/", password.password_page, name="password"),
    path("keys/", keys.keys_page, name="keys"),
    path("docs/api/", api_docs.api_page, name="api"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", sign_in.SignOut.as_view(), name="logout"),
]
