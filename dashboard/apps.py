from django.apps import AppConfig
from django.conf import settings

from dashboard import logs


class DashboardConfig(AppConfig):
    name = "dashboard"

    def ready(self) -> None:
        logs.configure(settings.CONFIG.log_format)
        # Makes `shared_task` and `send_task` use our Celery application in every process.
        from dashboard import celery  # noqa: F401
