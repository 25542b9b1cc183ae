import datetime

from facepass.v1 import erasures_pb2 as _erasures_pb2
from facepass.v1 import events_pb2 as _events_pb2
from facepass.v1 import types_pb2 as _types_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConflictPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_POLICY_UNSPECIFIED: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_REJECT: _ClassVar[ConflictPolicy]
    CONFLICT_POLICY_REPLACE: _ClassVar[ConflictPolicy]

class OptimizePhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMIZE_PHASE_UNSPECIFIED: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_QUEUED: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_COPYING: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_BUILDING: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_MEASURING: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_CLEANING: _ClassVar[OptimizePhase]
    OPTIMIZE_PHASE_DONE: _ClassVar[OptimizePhase]
CONFLICT_POLICY_UNSPECIFIED: ConflictPolicy
CONFLICT_POLICY_REJECT: ConflictPolicy
CONFLICT_POLICY_REPLACE: ConflictPolicy
OPTIMIZE_PHASE_UNSPECIFIED: OptimizePhase
OPTIMIZE_PHASE_QUEUED: OptimizePhase
OPTIMIZE_PHASE_COPYING: OptimizePhase
OPTIMIZE_PHASE_BUILDING: OptimizePhase
OPTIMIZE_PHASE_MEASURING: OptimizePhase
OPTIMIZE_PHASE_CLEANING: OptimizePhase
OPTIMIZE_PHASE_DONE: OptimizePhase

class IndexPhotosConfig(_message.Message):
    __slots__ = ("event", "conflict_policy", "quality_filter", "detail", "max_faces")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_POLICY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FILTER_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MAX_FACES_FIELD_NUMBER: _ClassVar[int]
    event: str
    conflict_policy: ConflictPolicy
    quality_filter: _types_pb2.QualityFilter
    detail: _types_pb2.Detail
    max_faces: int
    def __init__(self, event: _Optional[str] = ..., conflict_policy: _Optional[_Union[ConflictPolicy, str]] = ..., quality_filter: _Optional[_Union[_types_pb2.QualityFilter, str]] = ..., detail: _Optional[_Union[_types_pb2.Detail, str]] = ..., max_faces: _Optional[int] = ...) -> None: ...

class PhotoHeader(_message.Message):
    __slots__ = ("photo_id", "file_name", "content_length", "sha256", "capture_time", "source_uri", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PHOTO_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    photo_id: str
    file_name: str
    content_length: int
    sha256: bytes
    capture_time: _timestamp_pb2.Timestamp
    source_uri: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, photo_id: _Optional[str] = ..., file_name: _Optional[str] = ..., content_length: _Optional[int] = ..., sha256: _Optional[bytes] = ..., capture_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source_uri: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PhotoChunk(_message.Message):
    __slots__ = ("data", "last")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    last: bool
    def __init__(self, data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class IndexPhotosRequest(_message.Message):
    __slots__ = ("config", "photo", "chunk")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    config: IndexPhotosConfig
    photo: PhotoHeader
    chunk: PhotoChunk
    def __init__(self, config: _Optional[_Union[IndexPhotosConfig, _Mapping]] = ..., photo: _Optional[_Union[PhotoHeader, _Mapping]] = ..., chunk: _Optional[_Union[PhotoChunk, _Mapping]] = ...) -> None: ...

class PhotoResult(_message.Message):
    __slots__ = ("photo_id", "state", "photo", "status", "timings")
    PHOTO_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    photo_id: str
    state: _types_pb2.PhotoState
    photo: _types_pb2.Photo
    status: _status_pb2.Status
    timings: IndexTimings
    def __init__(self, photo_id: _Optional[str] = ..., state: _Optional[_Union[_types_pb2.PhotoState, str]] = ..., photo: _Optional[_Union[_types_pb2.Photo, _Mapping]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., timings: _Optional[_Union[IndexTimings, _Mapping]] = ...) -> None: ...

class IndexTimings(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "detect_ms", "embed_ms", "commit_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    DETECT_MS_FIELD_NUMBER: _ClassVar[int]
    EMBED_MS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    detect_ms: float
    embed_ms: float
    commit_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., detect_ms: _Optional[float] = ..., embed_ms: _Optional[float] = ..., commit_ms: _Optional[float] = ...) -> None: ...

class IndexPhotosResponse(_message.Message):
    __slots__ = ("sequence", "result")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    result: PhotoResult
    def __init__(self, sequence: _Optional[int] = ..., result: _Optional[_Union[PhotoResult, _Mapping]] = ...) -> None: ...

class IndexPhotoRequest(_message.Message):
    __slots__ = ("config", "photo", "content")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    config: IndexPhotosConfig
    photo: PhotoHeader
    content: bytes
    def __init__(self, config: _Optional[_Union[IndexPhotosConfig, _Mapping]] = ..., photo: _Optional[_Union[PhotoHeader, _Mapping]] = ..., content: _Optional[bytes] = ...) -> None: ...

class IndexPhotoResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: PhotoResult
    def __init__(self, result: _Optional[_Union[PhotoResult, _Mapping]] = ...) -> None: ...

class GetPhotoRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPhotoResponse(_message.Message):
    __slots__ = ("photo",)
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    photo: _types_pb2.Photo
    def __init__(self, photo: _Optional[_Union[_types_pb2.Photo, _Mapping]] = ...) -> None: ...

class ListPhotosRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token", "state")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    state: _types_pb2.PhotoState
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[_types_pb2.PhotoState, str]] = ...) -> None: ...

class ListPhotosResponse(_message.Message):
    __slots__ = ("photos", "next_page_token")
    PHOTOS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    photos: _containers.RepeatedCompositeFieldContainer[_types_pb2.Photo]
    next_page_token: str
    def __init__(self, photos: _Optional[_Iterable[_Union[_types_pb2.Photo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeletePhotoRequest(_message.Message):
    __slots__ = ("name", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class DeletePhotoResponse(_message.Message):
    __slots__ = ("faces", "erasure")
    FACES_FIELD_NUMBER: _ClassVar[int]
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    faces: int
    erasure: str
    def __init__(self, faces: _Optional[int] = ..., erasure: _Optional[str] = ...) -> None: ...

class DeleteFaceRequest(_message.Message):
    __slots__ = ("name", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class DeleteFaceResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: str
    def __init__(self, erasure: _Optional[str] = ...) -> None: ...

class OptimizeEventRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class OptimizeEventMetadata(_message.Message):
    __slots__ = ("event", "phase", "faces_done", "faces_total", "create_time", "end_time")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FACES_DONE_FIELD_NUMBER: _ClassVar[int]
    FACES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    event: str
    phase: OptimizePhase
    faces_done: int
    faces_total: int
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[str] = ..., phase: _Optional[_Union[OptimizePhase, str]] = ..., faces_done: _Optional[int] = ..., faces_total: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OptimizeEventResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: _events_pb2.EventIndex
    def __init__(self, index: _Optional[_Union[_events_pb2.EventIndex, _Mapping]] = ...) -> None: ...
