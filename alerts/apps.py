from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts.channels import channel_kinds
        from alerts.rules import rule_kinds

        rule_kinds.load()
        channel_kinds.load()
