"""Photos put together from a stream's messages."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidArgument
from common.photo import PhotoInfo
from indexer.room import Room, shared
from indexer.turn import taking_turns
from indexer.uploads import MAX_CHUNK_BYTES, Chunk, Header, Upload, assemble, whole

LIMIT = 200


def run(messages: Sequence[Header | Chunk], limit: int = LIMIT) -> list[Upload]:
    async def source() -> AsyncIterator[Header | Chunk]:
        for message in messages:
            yield message

    async def collect() -> list[Upload]:
        room = Room(2 * limit)
        uploads = []
        async with taking_turns(60) as turn:
            with shared(room, 2 * limit) as share:
                async for upload in assemble(source(), limit, share, turn):
                    # What is set aside for a photo that came is what was kept of it.
                    assert room.taken == len(upload.content)
                    share.give_back(len(upload.content))
                    turn.end()
                    uploads.append(upload)
            assert room.taken == 0
        return uploads

    return asyncio.run(collect())


def chunks(content: bytes, cuts: Sequence[int]) -> list[Chunk]:
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(edges)]
    return [Chunk(piece, last=i == len(pieces) - 1) for i, piece in enumerate(pieces)]


photos = st.lists(st.tuples(st.binary(max_size=LIMIT), st.lists(st.integers(0, 500), max_size=5)))


@given(photos)
def test_any_bytes_in_any_chunks_arrive_whole(sent: list[tuple[bytes, list[int]]]) -> None:
    messages: list[Header | Chunk] = []
    for i, (content, cuts) in enumerate(sent):
        digest = hashlib.sha256(content).digest()
        messages.append(Header(PhotoInfo(f"p{i}"), len(content), digest))
        messages += chunks(content, cuts)
    uploads = run(messages)
    assert [upload.content for upload in uploads] == [content for content, _ in sent]
    assert [upload.sequence for upload in uploads] == list(range(len(sent)))
    assert all(upload.error is None for upload in uploads)


@given(photos, st.data())
def test_every_header_gives_one_photo_whatever_is_cut(
    sent: list[tuple[bytes, list[int]]], data: st.DataObject
) -> None:
    messages: list[Header | Chunk] = []
    whole_ones = 0
    for i, (content, cuts) in enumerate(sent):
        parts = chunks(content, cuts)
        kept = data.draw(st.integers(0, len(parts)))
        whole_ones += kept == len(parts)
        messages += [Header(PhotoInfo(f"p{i}")), *parts[:kept]]
    uploads = run(messages)
    assert len(uploads) == len(sent)
    reasons = [getattr(upload.error, "reason", None) for upload in uploads]
    assert reasons.count(None) == whole_ones
    assert set(reasons) <= {None, "INCOMPLETE_UPLOAD"}


def test_a_photo_over_the_limit_is_not_kept() -> None:
    content = bytes(LIMIT + 1)
    (upload,) = run([Header(PhotoInfo("a")), *chunks(content, [50, 100])])
    assert upload.error is not None and upload.error.reason == "IMAGE_TOO_LARGE"
    assert upload.content == b""
    assert (upload.size_bytes, upload.sha256) == (LIMIT + 1, hashlib.sha256(content).digest())


@pytest.mark.parametrize(
    "header", [Header(PhotoInfo("a"), content_length=4), Header(PhotoInfo("a"), sha256=bytes(32))]
)
def test_other_bytes_than_announced_are_refused(header: Header) -> None:
    assert getattr(whole(header, b"12345", LIMIT).error, "reason", "") == "CONTENT_MISMATCH"


def test_the_headers_own_error_comes_first() -> None:
    wrong = InvalidArgument("photo.photo_id", "is wrong")
    (upload,) = run([Header(PhotoInfo("a b"), error=wrong), Chunk(b"12", last=True)])
    assert upload.error is wrong
    assert upload.content == b""


def test_chunks_without_a_header_or_too_large_end_the_stream() -> None:
    with pytest.raises(InvalidArgument, match="before the header"):
        run([Chunk(b"", last=True)])
    with pytest.raises(InvalidArgument, match="at most"):
        run([Header(PhotoInfo("a")), Chunk(bytes(MAX_CHUNK_BYTES + 1), last=True)])
