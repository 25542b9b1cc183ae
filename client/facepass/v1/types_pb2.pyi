import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FaceReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FACE_REASON_UNSPECIFIED: _ClassVar[FaceReason]
    FACE_REASON_LOW_SHARPNESS: _ClassVar[FaceReason]
    FACE_REASON_EXTREME_POSE: _ClassVar[FaceReason]
    FACE_REASON_SMALL_BOX: _ClassVar[FaceReason]
    FACE_REASON_LOW_CONFIDENCE: _ClassVar[FaceReason]
    FACE_REASON_LOW_BRIGHTNESS: _ClassVar[FaceReason]
    FACE_REASON_HIGH_BRIGHTNESS: _ClassVar[FaceReason]
    FACE_REASON_EXCEEDS_MAX_FACES: _ClassVar[FaceReason]
    FACE_REASON_NOT_CHOSEN: _ClassVar[FaceReason]
    FACE_REASON_SUPPRESSED: _ClassVar[FaceReason]

class QualityFilter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_FILTER_UNSPECIFIED: _ClassVar[QualityFilter]
    QUALITY_FILTER_NONE: _ClassVar[QualityFilter]
    QUALITY_FILTER_LOW: _ClassVar[QualityFilter]
    QUALITY_FILTER_MEDIUM: _ClassVar[QualityFilter]
    QUALITY_FILTER_HIGH: _ClassVar[QualityFilter]
    QUALITY_FILTER_AUTO: _ClassVar[QualityFilter]

class Detail(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DETAIL_UNSPECIFIED: _ClassVar[Detail]
    DETAIL_STANDARD: _ClassVar[Detail]
    DETAIL_HIGH: _ClassVar[Detail]

class PhotoState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHOTO_STATE_UNSPECIFIED: _ClassVar[PhotoState]
    PHOTO_STATE_INDEXED: _ClassVar[PhotoState]
    PHOTO_STATE_DUPLICATE: _ClassVar[PhotoState]
    PHOTO_STATE_REJECTED: _ClassVar[PhotoState]
    PHOTO_STATE_FAILED: _ClassVar[PhotoState]
FACE_REASON_UNSPECIFIED: FaceReason
FACE_REASON_LOW_SHARPNESS: FaceReason
FACE_REASON_EXTREME_POSE: FaceReason
FACE_REASON_SMALL_BOX: FaceReason
FACE_REASON_LOW_CONFIDENCE: FaceReason
FACE_REASON_LOW_BRIGHTNESS: FaceReason
FACE_REASON_HIGH_BRIGHTNESS: FaceReason
FACE_REASON_EXCEEDS_MAX_FACES: FaceReason
FACE_REASON_NOT_CHOSEN: FaceReason
FACE_REASON_SUPPRESSED: FaceReason
QUALITY_FILTER_UNSPECIFIED: QualityFilter
QUALITY_FILTER_NONE: QualityFilter
QUALITY_FILTER_LOW: QualityFilter
QUALITY_FILTER_MEDIUM: QualityFilter
QUALITY_FILTER_HIGH: QualityFilter
QUALITY_FILTER_AUTO: QualityFilter
DETAIL_UNSPECIFIED: Detail
DETAIL_STANDARD: Detail
DETAIL_HIGH: Detail
PHOTO_STATE_UNSPECIFIED: PhotoState
PHOTO_STATE_INDEXED: PhotoState
PHOTO_STATE_DUPLICATE: PhotoState
PHOTO_STATE_REJECTED: PhotoState
PHOTO_STATE_FAILED: PhotoState

class BoundingBox(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Landmarks(_message.Message):
    __slots__ = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    LEFT_EYE_FIELD_NUMBER: _ClassVar[int]
    RIGHT_EYE_FIELD_NUMBER: _ClassVar[int]
    NOSE_FIELD_NUMBER: _ClassVar[int]
    LEFT_MOUTH_FIELD_NUMBER: _ClassVar[int]
    RIGHT_MOUTH_FIELD_NUMBER: _ClassVar[int]
    left_eye: Point
    right_eye: Point
    nose: Point
    left_mouth: Point
    right_mouth: Point
    def __init__(self, left_eye: _Optional[_Union[Point, _Mapping]] = ..., right_eye: _Optional[_Union[Point, _Mapping]] = ..., nose: _Optional[_Union[Point, _Mapping]] = ..., left_mouth: _Optional[_Union[Point, _Mapping]] = ..., right_mouth: _Optional[_Union[Point, _Mapping]] = ...) -> None: ...

class FaceQuality(_message.Message):
    __slots__ = ("score", "sharpness", "brightness", "yaw", "pitch", "roll")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SHARPNESS_FIELD_NUMBER: _ClassVar[int]
    BRIGHTNESS_FIELD_NUMBER: _ClassVar[int]
    YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_FIELD_NUMBER: _ClassVar[int]
    ROLL_FIELD_NUMBER: _ClassVar[int]
    score: float
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    roll: float
    def __init__(self, score: _Optional[float] = ..., sharpness: _Optional[float] = ..., brightness: _Optional[float] = ..., yaw: _Optional[float] = ..., pitch: _Optional[float] = ..., roll: _Optional[float] = ...) -> None: ...

class DetectedFace(_message.Message):
    __slots__ = ("box", "landmarks", "detection_score", "quality", "reasons")
    BOX_FIELD_NUMBER: _ClassVar[int]
    LANDMARKS_FIELD_NUMBER: _ClassVar[int]
    DETECTION_SCORE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    box: BoundingBox
    landmarks: Landmarks
    detection_score: float
    quality: FaceQuality
    reasons: _containers.RepeatedScalarFieldContainer[FaceReason]
    def __init__(self, box: _Optional[_Union[BoundingBox, _Mapping]] = ..., landmarks: _Optional[_Union[Landmarks, _Mapping]] = ..., detection_score: _Optional[float] = ..., quality: _Optional[_Union[FaceQuality, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[FaceReason, str]]] = ...) -> None: ...

class Face(_message.Message):
    __slots__ = ("name", "detected")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DETECTED_FIELD_NUMBER: _ClassVar[int]
    name: str
    detected: DetectedFace
    def __init__(self, name: _Optional[str] = ..., detected: _Optional[_Union[DetectedFace, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("values", "pack")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    pack: str
    def __init__(self, values: _Optional[_Iterable[float]] = ..., pack: _Optional[str] = ...) -> None: ...

class Photo(_message.Message):
    __slots__ = ("name", "state", "file_name", "source_uri", "capture_time", "attributes", "sha256", "size_bytes", "width", "height", "faces", "unindexed_faces", "rejection_reason", "index_time")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_URI_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FACES_FIELD_NUMBER: _ClassVar[int]
    UNINDEXED_FACES_FIELD_NUMBER: _ClassVar[int]
    REJECTION_REASON_FIELD_NUMBER: _ClassVar[int]
    INDEX_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: PhotoState
    file_name: str
    source_uri: str
    capture_time: _timestamp_pb2.Timestamp
    attributes: _containers.ScalarMap[str, str]
    sha256: bytes
    size_bytes: int
    width: int
    height: int
    faces: _containers.RepeatedCompositeFieldContainer[Face]
    unindexed_faces: _containers.RepeatedCompositeFieldContainer[DetectedFace]
    rejection_reason: str
    index_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[PhotoState, str]] = ..., file_name: _Optional[str] = ..., source_uri: _Optional[str] = ..., capture_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Mapping[str, str]] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., faces: _Optional[_Iterable[_Union[Face, _Mapping]]] = ..., unindexed_faces: _Optional[_Iterable[_Union[DetectedFace, _Mapping]]] = ..., rejection_reason: _Optional[str] = ..., index_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
