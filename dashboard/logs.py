"""Logs: structlog through the standard library, so that Django's, uvicorn's and Celery's lines look like ours."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_QUIET = {
    "celery.beat": logging.WARNING,  # two ticks a second
    "celery.app.trace": logging.WARNING,  # "succeeded", as often
    "celery.worker.strategy": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "httpx2": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure(log_format: Literal["auto", "json", "text"]) -> None:
    """Sends every line to standard error: as JSON, or as text where a person reads (`auto`: a terminal)."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                as_line if as_text else structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def as_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    """`12:00:00 info    phrase  key=value …`, and a traceback below it."""
    at = str(event.pop("timestamp", ""))[11:19]
    level = str(event.pop("level", "info"))
    phrase = event.pop("event", "")
    exception = event.pop("exception", None)
    event.pop("logger", None)
    keys = " ".join(f"{name}={_shown(value)}" for name, value in event.items())
    line = f"{at} {level:<7} {phrase}{'  ' + keys if keys else ''}"
    return f"{line}\n{exception}" if exception else line


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(c.isspace() or c in "\"'=" for c in text) else text
