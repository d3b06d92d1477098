from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        from alerts.channels import channel_kinds
        from alerts.rule_changes import follow_service
        from alerts.rules import rule_kinds
        from breakers.renaming import follow_services

        follow_services(follow_service)
        rule_kinds.load()
        channel_kinds.load()
