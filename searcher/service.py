"""Searches on the wire: requests to domain values and back."""

import math
from typing import Any
from uuid import UUID

import grpc
import numpy as np
from facepass.v1 import searcher_pb2 as pb
from facepass.v1 import searcher_pb2_grpc

from common.audit.note import count
from common.errors import InvalidArgument
from common.event import Event
from common.names import EventName, parse_event, parse_face
from common.paging import decode_token, encode_token, fingerprint, not_ours, page_size
from common.photo import FoundPhoto, StoredFace
from common.quotas.quotas import Quotas
from common.rpc.convert import analyzed_to_wire, enum_to_wire, stored_fields, text
from common.similarity import told
from searcher.compare import Compare
from searcher.config import SearcherServerSettings
from searcher.probes import (
    EmbeddingProbe,
    FaceProbe,
    ImageProbe,
    Probe,
    ProbeReader,
    ProbeReading,
    SelfieAdvice,
)
from searcher.repository import Source
from searcher.search import After, Answer, Query, Search
from searcher.thresholds import Cut, Thresholds

Context = grpc.aio.ServicerContext[Any, Any]
MAX_PACK = 256


class SearcherServicer(searcher_pb2_grpc.SearcherServicer):
    """Wire to domain and back."""

    def __init__(
        self,
        search: Search,
        compare: Compare,
        probes: ProbeReader,
        quotas: Quotas,
        settings: SearcherServerSettings,
    ) -> None:
        self._search = search
        self._compare = compare
        self._probes = probes
        self._quotas = quotas
        self._settings = settings

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        query = self._query(request)
        await self._quotas.search(request.ByteSize())
        answer = await self._search.search(query)
        token = ""
        if answer.more:
            last = answer.matches[-1].candidate
            token = encode_token(_owner(request), [answer.event.uid.hex, *last.position])
        return _answer_to_wire(answer, token)

    async def CompareFaces(
        self, request: pb.CompareFacesRequest, context: Context
    ) -> pb.CompareFacesResponse:
        left, right = _probe(request.left, "left"), _probe(request.right, "right")
        await self._quotas.search(request.ByteSize())
        result = await self._compare.compare(left, right)
        similarity = None if result.similarity is None else told(result.similarity)
        return pb.CompareFacesResponse(
            similarity=similarity,
            tier=_tier(-1.0 if similarity is None else similarity, result.thresholds),
            left=_reading_to_wire(result.left),
            right=_reading_to_wire(result.right),
            min_similarity=result.thresholds.min_similarity,
            confident_similarity=result.thresholds.confident_similarity,
            pack=result.pack,
        )

    async def EvaluateSelfie(
        self, request: pb.EvaluateSelfieRequest, context: Context
    ) -> pb.EvaluateSelfieResponse:
        probe = ImageProbe(_image(request.image, "image"))
        await self._quotas.search(request.ByteSize())
        reading = await self._probes.image(probe, "image")
        # A crowd can be searched with, but whose photos come back is then left to chance.
        alone = SelfieAdvice.SEVERAL_FACES not in reading.advice
        usable = reading.embedding is not None and alone
        count(probes=1, usable=int(usable))
        return pb.EvaluateSelfieResponse(usable=usable, probe=_reading_to_wire(reading))

    def _query(self, request: pb.SearchRequest) -> Query:
        most = self._settings.max_probes
        if not 1 <= len(request.probes) <= most:
            raise InvalidArgument("probes", f"must be 1 to {most}")
        if request.group_by not in pb.GroupBy.values():
            raise InvalidArgument("group_by", f"{request.group_by} is not a value")
        return Query(
            parse_event(request.event, "event"),
            [_probe(probe, f"probes[{i}]") for i, probe in enumerate(request.probes)],
            _cut(request),
            request.group_by == pb.GROUP_BY_FACE,
            request.exact,
            _after(request),
            page_size(request.page_size, default=100, most=1000),
        )


def _owner(request: pb.SearchRequest) -> str:
    """What a page token is bound to: everything of the request but the page."""
    bare = pb.SearchRequest()
    bare.CopyFrom(request)
    bare.page_token = ""
    bare.page_size = 0
    return fingerprint("Search", bare.SerializeToString(deterministic=True))


def _after(request: pb.SearchRequest) -> After | None:
    if not request.page_token:
        return None
    cursor = decode_token(request.page_token, _owner(request), str, float, int, int)
    assert cursor is not None
    uid, similarity, photo_no, face_no = cursor
    try:
        return After(UUID(hex=str(uid)), (float(similarity), int(photo_no), int(face_no)))
    except ValueError:
        raise not_ours() from None


def _cut(request: pb.SearchRequest) -> Cut:
    match request.WhichOneof("threshold"):
        case "min_similarity":
            if not 0 < request.min_similarity <= 1:
                raise InvalidArgument("min_similarity", "must be in (0, 1]")
            return Cut(min_similarity=request.min_similarity)
        case "max_expected_false_matches":
            if not 0 < request.max_expected_false_matches < math.inf:
                raise InvalidArgument("max_expected_false_matches", "must be above 0")
            return Cut(max_expected_false_matches=request.max_expected_false_matches)
    return Cut()


def _probe(message: pb.Probe, field: str) -> Probe:
    index = message.face_index if message.HasField("face_index") else None
    match message.WhichOneof("sample"):
        case "image":
            return ImageProbe(_image(message.image, f"{field}.image"), index)
        case "face":
            probe: Probe = FaceProbe(parse_face(message.face, f"{field}.face"))
        case "embedding":
            values = np.array(message.embedding.values, dtype=np.float32)
            pack = text(message.embedding.pack, MAX_PACK, f"{field}.embedding.pack")
            probe = EmbeddingProbe(values, pack)
        case None:
            raise InvalidArgument(field, "must have an image, a face or an embedding")
    if index is not None:
        raise InvalidArgument(f"{field}.face_index", "goes with an image only")
    return probe


def _image(content: bytes, field: str) -> bytes:
    if not content:
        raise InvalidArgument(field, "is empty")
    return content


def _answer_to_wire(answer: Answer, token: str) -> pb.SearchResponse:
    response = pb.SearchResponse(
        next_page_token=token,
        total_matches=answer.total,
        probes=[_reading_to_wire(reading) for reading in answer.probes],
        coverage=_coverage(answer.event),
        min_similarity=answer.thresholds.min_similarity,
        confident_similarity=answer.thresholds.confident_similarity,
        exact=answer.source is not Source.GRAPH,
        pack=answer.pack,
        timings=pb.SearchTimings(
            queue_ms=sum(reading.queue_ms for reading in answer.probes),
            probe_ms=answer.probe_ms,
            gallery_ms=answer.gallery_ms,
        ),
        source=enum_to_wire(pb.SearchSource, answer.source),
        expected_false_matches=answer.thresholds.expected_false_matches,
    )
    for match in answer.matches:
        similarity = told(match.candidate.similarity)
        sent = response.matches.add(
            similarity=similarity, tier=_tier(similarity, answer.thresholds)
        )
        sent.MergeFromString(match.told)
    return response


def tell(event: EventName, face: StoredFace, photo: FoundPhoto) -> bytes:
    """A match as it is sent, but for what depends on the probe."""
    name = event.photo(photo.info.photo_id)
    match = pb.Match(
        photo=str(name),
        face=stored_fields(name, face),
        file_name=photo.info.file_name,
        source_uri=photo.info.source_uri,
        attributes=photo.info.attributes,
        photo_width=photo.width,
        photo_height=photo.height,
    )
    return match.SerializeToString()


def _tier(similarity: float, thresholds: Thresholds) -> pb.MatchTier:
    """similarity: as it is told."""
    if similarity >= told(thresholds.confident_similarity):
        return pb.MATCH_TIER_CONFIDENT
    if similarity >= told(thresholds.min_similarity):
        return pb.MATCH_TIER_POSSIBLE
    return pb.MATCH_TIER_UNSPECIFIED


def _reading_to_wire(reading: ProbeReading) -> pb.ProbeResult:
    return pb.ProbeResult(
        usable=reading.embedding is not None,
        faces=[analyzed_to_wire(face) for face in reading.faces],
        face_index=reading.face_index,
        advice=[enum_to_wire(pb.SelfieAdvice, advice) for advice in reading.advice],
    )


def _coverage(event: Event) -> pb.Coverage:
    counts = event.counts
    return pb.Coverage(
        photos_received=counts.photos_indexed + counts.photos_rejected + counts.photos_pending,
        photos_indexed=counts.photos_indexed,
        photos_rejected=counts.photos_rejected,
        photos_pending=counts.photos_pending,
        faces=counts.faces,
        version=event.version,
    )
