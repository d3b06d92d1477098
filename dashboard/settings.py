"""Django's settings, derived from `config`. Importing them opens no connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF

from dashboard.config import load

CONFIG = load()
BASE_DIR = Path(__file__).resolve().parent.parent

assert CONFIG.secret_key is not None  # load() makes one
SECRET_KEY = CONFIG.secret_key.get_secret_value()
DEBUG = False
_public = urlsplit(CONFIG.public_url)
PUBLIC_URL = CONFIG.public_url.rstrip("/")
ALLOWED_HOSTS = [host.strip() for host in CONFIG.allowed_hosts.split(",") if host.strip()]
if _public.hostname and _public.hostname not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(_public.hostname)
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]

INSTALLED_APPS = [
    # First, so that a command of ours (`changepassword`) goes before Django's of the same name.
    "breakers",
    "alerts",
    "dashboard",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "ninja",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "dashboard.answers.AnswersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dashboard.idempotency.IdempotencyMiddleware",
]

ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

_env = environ.Env()


def database(url: str) -> dict[str, Any]:
    """Django's dictionary for a PostgreSQL URL, `?host=` of a socket directory included."""
    parsed = dict(_env.db_url_config(url))
    options = dict(parsed.get("OPTIONS", {}))
    if "host" in options:
        parsed["HOST"] = options.pop("host")
    options.setdefault("connect_timeout", 5)
    parsed.update(
        ENGINE="dashboard.postgresql",
        OPTIONS=options,
        CONN_MAX_AGE=0,
        DISABLE_SERVER_SIDE_CURSORS=True,
    )
    return parsed


# Without a URL the project still imports (checks, makemigrations); connecting then fails with a clear name.
DATABASE_URL = (
    CONFIG.database_url.get_secret_value()
    if CONFIG.database_url
    else "postgresql:///panelboard-is-not-running"
)
DATABASE_OWNER_URL = (
    CONFIG.database_owner_url.get_secret_value() if CONFIG.database_owner_url else DATABASE_URL
)
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = CONFIG.redis_url.get_secret_value() if CONFIG.redis_url else "redis://127.0.0.1:6379/0"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_connect_timeout": 3}]},
    }
}

CELERY_BROKER_URL = REDIS_URL

AUTH_USER_MODEL = "breakers.Person"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS: list[Path] = []

_https = _public.scheme == "https"
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
_live = f"{'wss' if _https else 'ws'}://{_public.netloc}"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF, _live],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

_email = _env.email_url_config(
    CONFIG.email_url.get_secret_value() if CONFIG.email_url else "filemail://"
)
EMAIL_BACKEND = _email["EMAIL_BACKEND"]
EMAIL_HOST = _email.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _email.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _email.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _email.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = bool(_email.get("EMAIL_USE_TLS", False))
EMAIL_USE_SSL = bool(_email.get("EMAIL_USE_SSL", False))
EMAIL_FILE_PATH = _email.get("EMAIL_FILE_PATH") or str(CONFIG.data_dir.absolute() / "mail")
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = f"Panelboard <panelboard@{_public.hostname or 'localhost'}>"

PANELBOARD_WEBHOOK_ALLOW = [
    item.strip() for item in CONFIG.webhook_allow.split(",") if item.strip()
]
PANELBOARD_RETENTION_DAYS = CONFIG.retention_days
PANELBOARD_SNAPSHOT_RETENTION_DAYS = CONFIG.snapshot_retention_days
LOGGING_CONFIG = None  # dashboard.logs sets logging up
