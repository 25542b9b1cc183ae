import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErasureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_KIND_UNSPECIFIED: _ClassVar[ErasureKind]
    ERASURE_KIND_PHOTO: _ClassVar[ErasureKind]
    ERASURE_KIND_FACE: _ClassVar[ErasureKind]
    ERASURE_KIND_EVENT: _ClassVar[ErasureKind]
    ERASURE_KIND_PERSON: _ClassVar[ErasureKind]
    ERASURE_KIND_EXPIRY: _ClassVar[ErasureKind]
ERASURE_KIND_UNSPECIFIED: ErasureKind
ERASURE_KIND_PHOTO: ErasureKind
ERASURE_KIND_FACE: ErasureKind
ERASURE_KIND_EVENT: ErasureKind
ERASURE_KIND_PERSON: ErasureKind
ERASURE_KIND_EXPIRY: ErasureKind

class Erasure(_message.Message):
    __slots__ = ("name", "kind", "event", "event_uid", "photos", "faces", "digest", "subject", "create_time", "live_time", "physical_time", "backup_time", "suppress_until")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_UID_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    PHYSICAL_TIME_FIELD_NUMBER: _ClassVar[int]
    BACKUP_TIME_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ErasureKind
    event: str
    event_uid: str
    photos: int
    faces: int
    digest: bytes
    subject: str
    create_time: _timestamp_pb2.Timestamp
    live_time: _timestamp_pb2.Timestamp
    physical_time: _timestamp_pb2.Timestamp
    backup_time: _timestamp_pb2.Timestamp
    suppress_until: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ErasureKind, str]] = ..., event: _Optional[str] = ..., event_uid: _Optional[str] = ..., photos: _Optional[int] = ..., faces: _Optional[int] = ..., digest: _Optional[bytes] = ..., subject: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., live_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., physical_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., backup_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., suppress_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ErasePersonRequest(_message.Message):
    __slots__ = ("event", "image", "face", "face_index", "min_similarity", "validate_only", "suppress_until", "suppress_for")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    FACE_INDEX_FIELD_NUMBER: _ClassVar[int]
    MIN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_FOR_FIELD_NUMBER: _ClassVar[int]
    event: str
    image: bytes
    face: str
    face_index: int
    min_similarity: float
    validate_only: bool
    suppress_until: _timestamp_pb2.Timestamp
    suppress_for: _duration_pb2.Duration
    def __init__(self, event: _Optional[str] = ..., image: _Optional[bytes] = ..., face: _Optional[str] = ..., face_index: _Optional[int] = ..., min_similarity: _Optional[float] = ..., validate_only: _Optional[bool] = ..., suppress_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., suppress_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ErasableFace(_message.Message):
    __slots__ = ("face", "similarity")
    FACE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    face: str
    similarity: float
    def __init__(self, face: _Optional[str] = ..., similarity: _Optional[float] = ...) -> None: ...

class ErasePersonMetadata(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class ErasePersonResponse(_message.Message):
    __slots__ = ("erasure", "faces", "min_similarity")
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    MIN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    faces: _containers.RepeatedCompositeFieldContainer[ErasableFace]
    min_similarity: float
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ..., faces: _Optional[_Iterable[_Union[ErasableFace, _Mapping]]] = ..., min_similarity: _Optional[float] = ...) -> None: ...

class GetErasureRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetErasureResponse(_message.Message):
    __slots__ = ("erasure",)
    ERASURE_FIELD_NUMBER: _ClassVar[int]
    erasure: Erasure
    def __init__(self, erasure: _Optional[_Union[Erasure, _Mapping]] = ...) -> None: ...

class ListErasuresRequest(_message.Message):
    __slots__ = ("event", "page_size", "page_token")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    event: str
    page_size: int
    page_token: str
    def __init__(self, event: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListErasuresResponse(_message.Message):
    __slots__ = ("erasures", "next_page_token")
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[Erasure]
    next_page_token: str
    def __init__(self, erasures: _Optional[_Iterable[_Union[Erasure, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
