"""Logs: JSON lines on standard error, each with an `action` to match on and the request's id, and
that of its trace where it has one."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from common.traces.span import current as current_span

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the call that is being served, empty outside one."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One record as one JSON object: time, level, logger, message, request_id, trace_id and
    whatever `extra` holds."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            entry["request_id"] = current
        if (span := current_span.get()) is not None:
            entry["trace_id"] = span.trace_id
        entry |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure_logs(level: str) -> None:
    """Send every log record of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
