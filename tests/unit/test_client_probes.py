"""Probes, names and fields: what is sent of what a caller gives."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from facepass import EventFields, ProbeLike, probe
from facepass.names import event_id, event_name, photo_id, photo_name
from facepass.options import event_message, index_config, search_request, update_mask
from facepass.v1 import indexer_pb2, searcher_pb2, types_pb2

FACE = "events/party/photos/a.jpg/faces/3"
EMBEDDING = types_pb2.Embedding(values=[0.6, 0.8], pack="fake@1")


@pytest.mark.parametrize(
    ("sample", "field", "value"),
    [
        (b"image", "image", b"image"),
        (FACE, "face", FACE),
        (EMBEDDING, "embedding", EMBEDDING),
        (searcher_pb2.Probe(face=FACE), "face", FACE),
    ],
)
async def test_each_kind_of_sample(sample: ProbeLike, field: str, value: object) -> None:
    made = await probe(sample)
    assert made.WhichOneof("sample") == field
    assert getattr(made, field) == value
    assert not made.HasField("face_index")


async def test_a_path_is_read(tmp_path: Path) -> None:
    (tmp_path / "selfie.jpg").write_bytes(b"image")
    made = await probe(tmp_path / "selfie.jpg", face_index=0)
    assert made.image == b"image"
    assert made.HasField("face_index") and made.face_index == 0


async def test_a_path_as_text_is_not_taken_for_a_face() -> None:
    with pytest.raises(ValueError, match="pathlib"):
        await probe("selfie.jpg")


async def test_choosing_a_face_leaves_the_callers_probe_alone() -> None:
    given = searcher_pb2.Probe(image=b"image")
    assert (await probe(given, face_index=2)).face_index == 2
    assert not given.HasField("face_index")


def test_ids_and_names_mean_the_same() -> None:
    assert event_name("party") == event_name("events/party") == "events/party"
    assert event_id("party") == event_id("events/party") == "party"
    name = "events/party/photos/day%201%2Fa.jpg"
    assert photo_name("party", "day%201%2Fa.jpg") == photo_name("party", name) == name
    assert photo_id(name) == photo_id("day%201%2Fa.jpg") == "day%201%2Fa.jpg"


def test_only_given_fields_are_updated() -> None:
    fields = EventFields(location="", min_similarity=0.4, start_time=None)
    assert list(update_mask(fields).paths) == ["location", "settings.min_similarity", "start_time"]
    message = event_message("party", fields)
    assert message.settings.min_similarity == pytest.approx(0.4)
    assert not message.HasField("start_time")


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        update_mask({})


def test_lifetimes() -> None:
    assert event_message("party", {"ttl": timedelta(hours=2)}).ttl.ToTimedelta().seconds == 7200
    end = datetime(2026, 6, 1, tzinfo=UTC)
    message = event_message("party", {"expire_time": end})
    assert message.expire_time.ToDatetime(tzinfo=UTC) == end
    assert event_message("party", {}).WhichOneof("expiration") is None
    with pytest.raises(ValueError, match="not both"):
        event_message("party", {"ttl": timedelta(hours=2), "expire_time": end})


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, indexer_pb2.CONFLICT_POLICY_REJECT),
        ({"replace": True}, indexer_pb2.CONFLICT_POLICY_REPLACE),
    ],
)
def test_replacing_is_asked_for(options: Any, policy: indexer_pb2.ConflictPolicy) -> None:
    assert index_config("party", options).conflict_policy == policy


async def test_a_search_says_what_was_asked_and_no_more() -> None:
    bare = await search_request("party", [FACE], {})
    assert bare.WhichOneof("threshold") is None
    assert (bare.event, bare.exact) == ("events/party", False)
    told = await search_request("party", [FACE], {"max_expected_false_matches": 0.5, "exact": True})
    assert told.WhichOneof("threshold") == "max_expected_false_matches"
    assert told.exact
    given = await search_request("party", [FACE], {"min_similarity": 0.25})
    assert given.WhichOneof("threshold") == "min_similarity"


async def test_a_search_has_one_threshold() -> None:
    with pytest.raises(ValueError, match="not both"):
        await search_request(
            "party", [FACE], {"min_similarity": 0.4, "max_expected_false_matches": 0.1}
        )
