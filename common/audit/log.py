"""The record of one server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from common.audit.file_sink import FileSink
from common.audit.line import Entry, Line
from common.audit.outlet import Outlet, Sink
from common.audit.repository import TableSink
from common.config import AuditSettings
from common.db.pool import Database
from common.errors import AuditUnavailable
from common.metrics import Metrics


class AuditLog:
    """Takes one entry a call, and hands it to every outlet."""

    def __init__(self, outlets: Sequence[Outlet], settings: AuditSettings) -> None:
        self._outlets = outlets
        self._refuses = settings.when_stuck == "refuse"
        self.tells_peer = settings.peer
        self._writer = uuid4().hex
        self._number = 0
        self._promised = 0

    def promise(self) -> None:
        """Set room aside for the entry of a call that begins; `keep` or `drop` it once. Raises
        AuditUnavailable where there is none, and calls that leave no trace are not wanted."""
        if self._refuses and not all(outlet.room(self._promised) for outlet in self._outlets):
            raise AuditUnavailable("the audit cannot be written; try again")
        self._promised += 1

    def keep(self, entry: Entry, *, promised: bool) -> None:
        """Hand an entry over. One without a promise is lost where there is no room."""
        self._promised -= promised
        self._number += 1
        line = Line(self._writer, self._number, entry)
        for outlet in self._outlets:
            if (promised and self._refuses) or outlet.room(self._promised):
                outlet.put(line)
            else:
                outlet.lose()


@asynccontextmanager
async def auditing(
    settings: AuditSettings, database: Database, metrics: Metrics
) -> AsyncIterator[AuditLog]:
    """The record that the settings ask for, written for as long as the context lasts. Raises
    SetupError."""
    sinks: list[Sink] = []
    if settings.table:
        sinks.append(TableSink(database))
    if settings.file:
        sinks.append(FileSink(settings.file))
    outlets = [Outlet(sink, settings.buffer_lines, metrics) for sink in sinks]
    async with AsyncExitStack() as stack:
        for outlet in outlets:
            await stack.enter_async_context(outlet.running())
        yield AuditLog(outlets, settings)
        await asyncio.sleep(0)  # entries are handed over after their answers
