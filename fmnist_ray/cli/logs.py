"""Logs for machines: with FMNIST_RAY_LOG=json each line on stderr is a JSON object; and what no log may say."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any

_VARIABLE = "FMNIST_RAY_LOG"
_SECRET_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "FMNIST_RAY_WEBHOOK",
    "RAY_AUTH_TOKEN",
)
_SHORTEST_SECRET = 8
"""Characters; a value like `test` is no secret, and would be struck from words that hold it."""
_SECRET_TEXTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s'\"\\]+",
        r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:bearer |basic )?)[^\s'\"\\,}]+",
        r"(\bsignature=)[0-9a-f]{16,}",
        r"(://)[^/\s:@'\"]+:[^/\s@'\"]+(?=@)",
    )
)
_HIDDEN = "[hidden]"
_OWN = set(vars(logging.makeLogRecord({}))) | {"message", "taskName"}
"""What every log record has; the rest are facts of its own."""


def json_logs() -> bool:
    """Whether logs are asked for as JSON."""
    return os.environ.get(_VARIABLE) == "json"


def start_json_logs() -> logging.Logger:
    """Send the package's log to stderr, a JSON object a line; returns the logger for what commands say themselves."""
    logger = logging.getLogger("fmnist_ray")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    return logger


def redact(text: str) -> str:
    """The text without credentials: those of this process, and whatever looks like one."""
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, _HIDDEN)
    for pattern in _SECRET_TEXTS:
        text = pattern.sub(rf"\1{_HIDDEN}", text)
    return text


class _JsonFormatter(logging.Formatter):
    """Time, level, message, then the facts that were given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str))
