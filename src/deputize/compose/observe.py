"""The log: structured, with one step through which every line goes and in which no secret survives."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from deputize.core.specs import SPECS

_SECRET_NAMES: Final = re.compile(
    r"(?i)(authorization|cookie|dpop|secret|password|assertion|(?:^|_)(?:token|code|verifier|proof|challenge)(?:$|_))"
)
# A JWT, or a random text as long as our own secrets are: worth nothing to a reader, worth much to a thief. Some of the
# drafts that rules are from have names as long.
_DRAFTS: Final = "|".join(re.escape(spec.id) for spec in SPECS if spec.id.startswith("draft-"))
_SECRET_VALUES: Final = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    rf"|(?<![A-Za-z0-9_-])(?!(?:{_DRAFTS})(?![A-Za-z0-9_-]))[A-Za-z0-9_-]{{43,}}"
)
STRUCK: Final = "(struck out)"


def redact(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Strike out what is named or looks like a secret."""
    for name, value in line.items():
        line[name] = STRUCK if _SECRET_NAMES.search(name) else _redacted(value)
    return line


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return _SECRET_VALUES.sub(STRUCK, value)
    if isinstance(value, Mapping):
        return {name: STRUCK if _SECRET_NAMES.search(str(name)) else _redacted(told) for name, told in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(told) for told in value]
    return value


def configure(*, level: str = "info", json: bool | None = None) -> None:
    """Log to standard error: for a person where one watches, else one JSON object a line."""
    machine = not sys.stderr.isatty() if json is None else json
    for name in ("httpcore2", "httpx2"):  # at DEBUG they tell headers, and an API may echo a token in one
        logging.getLogger(name).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer() if machine else structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
