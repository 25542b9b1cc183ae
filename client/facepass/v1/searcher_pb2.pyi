from facepass.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MatchTier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MATCH_TIER_UNSPECIFIED: _ClassVar[MatchTier]
    MATCH_TIER_CONFIDENT: _ClassVar[MatchTier]
    MATCH_TIER_POSSIBLE: _ClassVar[MatchTier]

class GroupBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GROUP_BY_UNSPECIFIED: _ClassVar[GroupBy]
    GROUP_BY_PHOTO: _ClassVar[GroupBy]
    GROUP_BY_FACE: _ClassVar[GroupBy]

class SearchSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_SOURCE_UNSPECIFIED: _ClassVar[SearchSource]
    SEARCH_SOURCE_MEMORY: _ClassVar[SearchSource]
    SEARCH_SOURCE_SCAN: _ClassVar[SearchSource]
    SEARCH_SOURCE_GRAPH: _ClassVar[SearchSource]

class SelfieAdvice(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SELFIE_ADVICE_UNSPECIFIED: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_NO_FACE: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_SEVERAL_FACES: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_COME_CLOSER: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_CUT_OFF: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_TOO_DARK: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_TOO_BRIGHT: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_BLURRED: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_LOOK_AT_CAMERA: _ClassVar[SelfieAdvice]
    SELFIE_ADVICE_UNCOVER_FACE: _ClassVar[SelfieAdvice]
MATCH_TIER_UNSPECIFIED: MatchTier
MATCH_TIER_CONFIDENT: MatchTier
MATCH_TIER_POSSIBLE: MatchTier
GROUP_BY_UNSPECIFIED: GroupBy
GROUP_BY_PHOTO: GroupBy
GROUP_BY_FACE: GroupBy
SEARCH_SOURCE_UNSPECIFIED: SearchSource
SEARCH_SOURCE_MEMORY: SearchSource
SEARCH_SOURCE_SCAN: SearchSource
SEARCH_SOURCE_GRAPH: SearchSource
SELFIE_ADVICE_UNSPECIFIED: SelfieAdvice
SELFIE_ADVICE_NO_FACE: SelfieAdvice
SELFIE_ADVICE_SEVERAL_FACES: SelfieAdvice
SELFIE_ADVICE_COME_CLOSER: SelfieAdvice
SELFIE_ADVICE_CUT_OFF: SelfieAdvice
SELFIE_ADVICE_TOO_DARK: SelfieAdvice
SELFIE_ADVICE_TOO_BRIGHT: SelfieAdvice
SELFIE_ADVICE_BLURRED: SelfieAdvice
SELFIE_ADVICE_LOOK_AT_CAMERA: SelfieAdvice
SELFIE_ADVICE_UNCOVER_FACE: SelfieAdvice

class Probe(_message.Message):
    __slots__ = ("image", "face", "embedding", "face_index")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    FACE_INDEX_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    face: str
    embedding: _types_pb2.Embedding
    face_index: int
    def __init__(self, image: _Optional[bytes] = ..., face: _Optional[str] = ..., embedding: _Optional[_Union[_types_pb2.Embedding, _Mapping]] = ..., face_index: _Optional[int] = ...) -> None: ...

class ProbeResult(_message.Message):
    __slots__ = ("usable", "faces", "face_index", "advice")
    USABLE_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    FACE_INDEX_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    usable: bool
    faces: _containers.RepeatedCompositeFieldContainer[_types_pb2.DetectedFace]
    face_index: int
    advice: _containers.RepeatedScalarFieldContainer[SelfieAdvice]
    def __init__(self, usable: _Optional[bool] = ..., faces: _Optional[_Iterable[_Union[_types_pb2.DetectedFace, _Mapping]]] = ..., face_index: _Optional[int] = ..., advice: _Optional[_Iterable[_Union[SelfieAdvice, str]]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("event", "probes", "min_similarity", "max_expected_false_matches", "group_by", "page_size", "page_token", "exact")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    MIN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    MAX_EXPECTED_FALSE_MATCHES_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    event: str
    probes: _containers.RepeatedCompositeFieldContainer[Probe]
    min_similarity: float
    max_expected_false_matches: float
    group_by: GroupBy
    page_size: int
    page_token: str
    exact: bool
    def __init__(self, event: _Optional[str] = ..., probes: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ..., min_similarity: _Optional[float] = ..., max_expected_false_matches: _Optional[float] = ..., group_by: _Optional[_Union[GroupBy, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., exact: _Optional[bool] = ...) -> None: ...

class Match(_message.Message):
    __slots__ = ("photo", "face", "similarity", "tier", "file_name", "source_uri", "attributes", "photo_width", "photo_height")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PHOTO_WIDTH_FIELD_NUMBER: _ClassVar[int]
    PHOTO_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    photo: str
    face: _types_pb2.Face
    similarity: float
    tier: MatchTier
    file_name: str
    source_uri: str
    attributes: _containers.ScalarMap[str, str]
    photo_width: int
    photo_height: int
    def __init__(self, photo: _Optional[str] = ..., face: _Optional[_Union[_types_pb2.Face, _Mapping]] = ..., similarity: _Optional[float] = ..., tier: _Optional[_Union[MatchTier, str]] = ..., file_name: _Optional[str] = ..., source_uri: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., photo_width: _Optional[int] = ..., photo_height: _Optional[int] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("photos_received", "photos_indexed", "photos_rejected", "photos_pending", "faces", "version")
    PHOTOS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_INDEXED_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_REJECTED_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_PENDING_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    photos_received: int
    photos_indexed: int
    photos_rejected: int
    photos_pending: int
    faces: int
    version: int
    def __init__(self, photos_received: _Optional[int] = ..., photos_indexed: _Optional[int] = ..., photos_rejected: _Optional[int] = ..., photos_pending: _Optional[int] = ..., faces: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("matches", "next_page_token", "total_matches", "probes", "coverage", "min_similarity", "confident_similarity", "exact", "pack", "timings", "source", "expected_false_matches")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MATCHES_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    MIN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENT_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FALSE_MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[Match]
    next_page_token: str
    total_matches: int
    probes: _containers.RepeatedCompositeFieldContainer[ProbeResult]
    coverage: Coverage
    min_similarity: float
    confident_similarity: float
    exact: bool
    pack: str
    timings: SearchTimings
    source: SearchSource
    expected_false_matches: float
    def __init__(self, matches: _Optional[_Iterable[_Union[Match, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_matches: _Optional[int] = ..., probes: _Optional[_Iterable[_Union[ProbeResult, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., min_similarity: _Optional[float] = ..., confident_similarity: _Optional[float] = ..., exact: _Optional[bool] = ..., pack: _Optional[str] = ..., timings: _Optional[_Union[SearchTimings, _Mapping]] = ..., source: _Optional[_Union[SearchSource, str]] = ..., expected_false_matches: _Optional[float] = ...) -> None: ...

class SearchTimings(_message.Message):
    __slots__ = ("queue_ms", "probe_ms", "gallery_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    PROBE_MS_FIELD_NUMBER: _ClassVar[int]
    GALLERY_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    probe_ms: float
    gallery_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., probe_ms: _Optional[float] = ..., gallery_ms: _Optional[float] = ...) -> None: ...

class CompareFacesRequest(_message.Message):
    __slots__ = ("left", "right")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    left: Probe
    right: Probe
    def __init__(self, left: _Optional[_Union[Probe, _Mapping]] = ..., right: _Optional[_Union[Probe, _Mapping]] = ...) -> None: ...

class CompareFacesResponse(_message.Message):
    __slots__ = ("similarity", "tier", "left", "right", "min_similarity", "confident_similarity", "pack")
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    MIN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENT_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    similarity: float
    tier: MatchTier
    left: ProbeResult
    right: ProbeResult
    min_similarity: float
    confident_similarity: float
    pack: str
    def __init__(self, similarity: _Optional[float] = ..., tier: _Optional[_Union[MatchTier, str]] = ..., left: _Optional[_Union[ProbeResult, _Mapping]] = ..., right: _Optional[_Union[ProbeResult, _Mapping]] = ..., min_similarity: _Optional[float] = ..., confident_similarity: _Optional[float] = ..., pack: _Optional[str] = ...) -> None: ...

class EvaluateSelfieRequest(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    def __init__(self, image: _Optional[bytes] = ...) -> None: ...

class EvaluateSelfieResponse(_message.Message):
    __slots__ = ("usable", "probe")
    USABLE_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    usable: bool
    probe: ProbeResult
    def __init__(self, usable: _Optional[bool] = ..., probe: _Optional[_Union[ProbeResult, _Mapping]] = ...) -> None: ...
