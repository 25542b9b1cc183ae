"""COPY of templates, cut anywhere."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.db.codec import encode_halfvec
from common.db.copy_stream import TemplateStream
from common.template_rows import TemplateRows

D = 3


def copy_of(count: int) -> bytes:
    """What Postgres sends for `count` rows."""
    data = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    for number in range(1, count + 1):
        template = encode_halfvec(np.full(D, number / 8, dtype=np.float32))
        data += struct.pack(">hiiii", 3, 4, number, 4, 10 * number)
        data += struct.pack(">i", len(template)) + template
    return data + struct.pack(">h", -1)


async def feed(data: bytes, cuts: list[int], batch: int) -> list[TemplateRows]:
    taken: list[TemplateRows] = []
    stream = TemplateStream(D, taken.append, batch)
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        await stream.feed(data[start:end])
    stream.finish()
    return taken


@given(count=st.integers(0, 40), cuts=st.lists(st.integers(0, 5000)), batch=st.integers(1, 20))
async def test_every_row_arrives_once(count: int, cuts: list[int], batch: int) -> None:
    taken = await feed(copy_of(count), cuts, batch)
    numbers = [number for rows in taken for number in rows.face_no.tolist()]
    assert numbers == list(range(1, count + 1))
    assert [n for rows in taken for n in rows.photo_no.tolist()] == [10 * n for n in numbers]
    values = [template.tolist() for rows in taken for template in rows.templates]
    assert values == [[number / 8] * D for number in numbers]


@pytest.mark.parametrize("cut", [5, 25, 60])
async def test_a_stream_that_ends_early_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match="too early"):
        await feed(copy_of(3)[:cut], [], 2)


async def test_another_dimension_is_an_error() -> None:
    stream = TemplateStream(D + 1, lambda rows: None, 1)
    with pytest.raises(ValueError):
        await stream.feed(copy_of(3))
        stream.finish()


async def test_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a binary COPY"):
        await TemplateStream(D, lambda rows: None, 1).feed(b"x" * 100)
