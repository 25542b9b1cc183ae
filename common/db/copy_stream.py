"""Postgres' binary COPY of templates, read without looking at each row."""

from collections.abc import Callable

import numpy as np

from common.template_rows import TemplateRows

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES = len(_SIGNATURE) + 8
_TRAILER_BYTES = 2


class TemplateStream:
    """Takes one COPY of (face_no int4, photo_no int4, embedding halfvec) in chunks and hands on
    `batch` rows at a time, the last ones by `finish`.

    Source: PostgreSQL manual, COPY, binary format; pgvector src/halfvec.c::halfvec_send.
    """

    def __init__(self, dimension: int, take: Callable[[TemplateRows], None], batch: int) -> None:
        self._row = np.dtype(
            [
                ("fields", ">i2"),
                ("face_no_length", ">i4"),
                ("face_no", ">i4"),
                ("photo_no_length", ">i4"),
                ("photo_no", ">i4"),
                ("template_length", ">i4"),
                ("dimension", ">i2"),
                ("unused", ">i2"),
                ("template", ">f2", (dimension,)),
            ]
        )
        self._dimension = dimension
        self._take = take
        self._batch_bytes = batch * self._row.itemsize
        self._buffer = bytearray()
        self._begun = False

    async def feed(self, data: bytes) -> None:
        """Take the next chunk. A coroutine, because asyncpg wants one."""
        self._buffer += data
        if not self._begun and len(self._buffer) >= _HEADER_BYTES:
            if not self._buffer.startswith(_SIGNATURE):
                raise ValueError("not a binary COPY")
            del self._buffer[:_HEADER_BYTES]
            self._begun = True
        # The trailer is shorter than a row, so whole batches never hold it.
        while self._begun and len(self._buffer) >= self._batch_bytes + _TRAILER_BYTES:
            self._hand_on(self._batch_bytes)

    def finish(self) -> None:
        """Hand on what is left. Raises ValueError when the stream ended too early."""
        whole = len(self._buffer) - _TRAILER_BYTES
        if not self._begun or whole < 0 or whole % self._row.itemsize:
            raise ValueError("the COPY of templates ended too early")
        if whole:
            self._hand_on(whole)

    def _hand_on(self, size: int) -> None:
        table = np.frombuffer(self._buffer, dtype=self._row, count=size // self._row.itemsize)
        if (table["fields"] != 3).any() or (table["dimension"] != self._dimension).any():
            raise ValueError("the COPY holds other rows than templates of one dimension")
        rows = TemplateRows(
            table["face_no"].astype(np.int32),
            table["photo_no"].astype(np.int32),
            table["template"].astype(np.float16),
        )
        # Memory that is given back keeps what it held. A view bars the buffer from shrinking.
        table["template"] = 0
        del table
        del self._buffer[:size]
        self._take(rows)
