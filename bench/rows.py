"""Arrays as rows of Postgres' binary COPY: half a million in seconds."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
_ROWS_OF_A_CHUNK = 10_000
_REAL = 700  # oid of real

Column = NDArray[Any]
"""(N,) or (N, K) of the column's width; all rows are of the same length."""


async def copy_stream(columns: Mapping[str, Column]) -> AsyncIterator[bytes]:
    """The rows in chunks of binary COPY, columns in their order."""
    count = len(next(iter(columns.values())))
    yield _HEAD
    for start in range(0, count, _ROWS_OF_A_CHUNK):
        yield _packed({k: v[start : start + _ROWS_OF_A_CHUNK] for k, v in columns.items()})
    yield _TAIL


def _packed(columns: Mapping[str, Column]) -> bytes:
    fields: list[Any] = [("", ">i2")]
    for name, values in columns.items():
        # numpy's own results are in the machine's byte order.
        kind = values.dtype.newbyteorder(">")
        fields += [(f"{name} length", ">i4"), (name, kind, values.shape[1:])]
    rows = np.empty(len(next(iter(columns.values()))), dtype=fields)
    rows[rows.dtype.names[0]] = len(columns)  # type: ignore[index]
    for name, values in columns.items():
        rows[f"{name} length"] = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=int))
        rows[name] = values
    return rows.tobytes()


def constant(value: int | float | bytes, kind: str, count: int) -> Column:
    """The same value in every row. kind: numpy's type, such as `>i4` or `S4`."""
    return np.full(count, value, dtype=kind) if value != b"" else np.empty((count, 0), dtype=">u1")


def halfvec(vectors: NDArray[np.float32]) -> Column:
    """(N, D) as pgvector's halfvec."""
    return _vector(vectors, ">f2")


def vector(vectors: NDArray[np.float32]) -> Column:
    """(N, D) as pgvector's vector."""
    return _vector(vectors, ">f4")


def _vector(vectors: NDArray[np.float32], kind: str) -> Column:
    body = np.ascontiguousarray(vectors.astype(kind)).view(">u2")
    head = np.zeros((len(vectors), 2), dtype=">u2")
    head[:, 0] = vectors.shape[1]
    return np.concatenate([head, body], axis=1)


def real_array(values: NDArray[np.float32]) -> Column:
    """(N, K) as real[]."""
    count, length = values.shape
    rows = np.empty((count, 5 + 2 * length), dtype=">i4")
    rows[:, :5] = (1, 0, _REAL, length, 1)
    rows[:, 5::2] = 4
    rows[:, 6::2] = np.ascontiguousarray(values.astype(">f4")).view(">i4")
    return rows
