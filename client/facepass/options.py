"""What callers may say of events, of indexing and of searches, as keyword arguments."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypedDict

from google.protobuf import duration_pb2, field_mask_pb2

from facepass.names import event_name
from facepass.probes import ProbeLike, probe
from facepass.times import timestamp
from facepass.v1 import events_pb2, indexer_pb2, searcher_pb2, types_pb2

_SETTINGS = ("quality_filter", "detail", "min_similarity")


class EventFields(TypedDict, total=False):
    """Fields of an event that a caller may set; see `Event` and `EventSettings` in events.proto.

    Times have a time zone. Of `expire_time` and `ttl` only one may be given. `start_time` and
    `expire_time` may be None in an update, which clears them.
    """

    display_name: str
    location: str
    start_time: datetime | None
    expire_time: datetime | None
    ttl: timedelta
    quality_filter: types_pb2.QualityFilter
    detail: types_pb2.Detail
    min_similarity: float


class IndexOptions(TypedDict, total=False):
    """How photos are indexed; see `IndexPhotosConfig` in indexer.proto.

    replace: a photo id that is taken by other bytes gets the new photo instead of being rejected.
    """

    replace: bool
    quality_filter: types_pb2.QualityFilter
    detail: types_pb2.Detail
    max_faces: int


class SearchOptions(TypedDict, total=False):
    """How to search; see `SearchRequest` in searcher.proto.

    Of `min_similarity` and `max_expected_false_matches` only one may be given; with neither, or
    None, the event's setting or else the pack's default counts.
    exact: compare every face of the event, however large it is.
    """

    min_similarity: float | None
    max_expected_false_matches: float | None
    group_by: searcher_pb2.GroupBy
    exact: bool


def event_message(event: str, fields: EventFields) -> events_pb2.Event:
    """Make an event of its name or id and fields. Raises ValueError for fields that do not fit."""
    if "ttl" in fields and "expire_time" in fields:
        raise ValueError("give expire_time or ttl, not both")
    made = events_pb2.Event(
        name=event_name(event),
        display_name=fields.get("display_name", ""),
        location=fields.get("location", ""),
        start_time=timestamp(fields.get("start_time")),
        expire_time=timestamp(fields.get("expire_time")),
        settings=events_pb2.EventSettings(
            quality_filter=fields.get("quality_filter", types_pb2.QUALITY_FILTER_UNSPECIFIED),
            detail=fields.get("detail", types_pb2.DETAIL_UNSPECIFIED),
            min_similarity=fields.get("min_similarity", 0.0),
        ),
    )
    if "ttl" in fields:
        made.ttl.CopyFrom(duration_pb2.Duration())
        made.ttl.FromTimedelta(fields["ttl"])
    return made


def update_mask(given: Iterable[str]) -> field_mask_pb2.FieldMask:
    """Return the mask of exactly the fields that were given. Raises ValueError when none was."""
    paths = [f"settings.{name}" if name in _SETTINGS else name for name in given]
    if not paths:
        raise ValueError("nothing to update")  # an empty mask would mean something else
    return field_mask_pb2.FieldMask(paths=paths)


def index_config(event: str, options: IndexOptions) -> indexer_pb2.IndexPhotosConfig:
    """Make the settings of a stream or call."""
    policy = (
        indexer_pb2.CONFLICT_POLICY_REPLACE
        if options.get("replace", False)
        else indexer_pb2.CONFLICT_POLICY_REJECT
    )
    return indexer_pb2.IndexPhotosConfig(
        event=event_name(event),
        conflict_policy=policy,
        quality_filter=options.get("quality_filter", types_pb2.QUALITY_FILTER_UNSPECIFIED),
        detail=options.get("detail", types_pb2.DETAIL_UNSPECIFIED),
        max_faces=options.get("max_faces", 0),
    )


async def search_request(
    event: str, probes: Sequence[ProbeLike], options: SearchOptions
) -> searcher_pb2.SearchRequest:
    """Make a search without its page. Raises ValueError for options that do not fit."""
    min_similarity = options.get("min_similarity")
    max_false_matches = options.get("max_expected_false_matches")
    if min_similarity is not None and max_false_matches is not None:
        raise ValueError("give min_similarity or max_expected_false_matches, not both")
    return searcher_pb2.SearchRequest(
        event=event_name(event),
        probes=[await probe(each) for each in probes],
        min_similarity=min_similarity,
        max_expected_false_matches=max_false_matches,
        group_by=options.get("group_by", searcher_pb2.GROUP_BY_PHOTO),
        exact=options.get("exact", False),
    )
