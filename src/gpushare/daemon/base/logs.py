# SPDX-License-Identifier: Apache-2.0
"""The daemon's log: to stderr, as text for people or JSON for machines."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor

from gpushare.config.printable import printable

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(level: str, form: str) -> None:
    """`level`: debug, info, warning, error. `form`: text or json."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_SHARED, structlog.processors.format_exc_info, *_rendered(form)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr)
    # Apart, because `basicConfig` does nothing the second time, after a reload.
    logging.getLogger().setLevel(max(number, logging.WARNING))


def _readable(_: object, __: str, event: EventDict) -> EventDict:
    """Texts in events come from users too; a terminal or journal shows the log as it is."""
    return {
        key: printable(value, lines=key == "exception") if isinstance(value, str) else value
        for key, value in event.items()
    }


def _rendered(form: str) -> tuple[Processor, ...]:
    if form == "json":
        return (structlog.processors.JSONRenderer(),)
    # Not structlog's choice, which prints local variables, and takes a second, where rich is
    # installed.
    return _readable, structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
