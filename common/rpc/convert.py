"""Domain values to messages and back, for what both servers speak."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

from facepass.v1 import types_pb2 as pb
from google.protobuf import timestamp_pb2

from common.errors import InvalidArgument
from common.names import PhotoName
from common.photo import StoredFace
from common.vision.types import Detection, Face, FaceReason, Quality

E = TypeVar("E", bound=Enum)
Fields = dict[str, Any]
"""Fields of a message, those of the messages in it as dictionaries again: protobuf makes the whole
of them in a quarter of the time that one message after the other takes."""
_LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")


def enum_to_domain(message_enum: object, value: int, cls: type[E], field: str) -> E | None:
    """A wire enum's value as the domain's; None for UNSPECIFIED. Raises InvalidArgument for an
    unknown number."""
    prefix = _prefix(message_enum)
    try:
        name = message_enum.Name(value).removeprefix(prefix)  # type: ignore[attr-defined]
    except ValueError:
        raise InvalidArgument(field, f"{value} is not a value of this enum") from None
    if name == "UNSPECIFIED":
        return None
    return cls(name)


def enum_to_wire(message_enum: object, value: Enum) -> str:
    """The wire's name of a domain enum's value, which messages take for the number."""
    return f"{_prefix(message_enum)}{value.value}"


def _prefix(message_enum: object) -> str:
    zero: str = message_enum.Name(0)  # type: ignore[attr-defined]
    return zero.removesuffix("UNSPECIFIED")


def timestamp_to_domain(message: timestamp_pb2.Timestamp, field: str) -> datetime:
    """Raises InvalidArgument outside the years 1 to 9999."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a time between the years 1 and 9999") from None


def timestamp_to_wire(value: datetime | None) -> timestamp_pb2.Timestamp | None:
    if value is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(value)
    return message


def text(value: str, most: int, field: str) -> str:
    """Check a caller's text. Raises InvalidArgument over `most` characters or with NUL, which
    Postgres cannot store."""
    if len(value) > most:
        raise InvalidArgument(field, f"must be at most {most} characters")
    if "\x00" in value:
        raise InvalidArgument(field, "must not contain NUL")
    return value


def analyzed_to_wire(face: Face) -> pb.DetectedFace:
    return pb.DetectedFace(**_detected(face.detection, face.quality, face.reasons))


def stored_to_wire(photo: PhotoName, face: StoredFace) -> pb.Face:
    return pb.Face(**stored_fields(photo, face))


def stored_fields(photo: PhotoName, face: StoredFace) -> Fields:
    """The fields of a `Face`."""
    return {
        "name": str(photo.face(face.face_no)),
        "detected": _detected(face.detection, face.quality),
    }


def _detected(detection: Detection, quality: Quality, reasons: Iterable[FaceReason] = ()) -> Fields:
    """The fields of a `DetectedFace`; landmarks that the engine does not locate are left out."""
    box = detection.box
    points = {
        name: {"x": x, "y": y}
        for name, (x, y) in zip(_LANDMARKS, detection.landmarks.tolist(), strict=True)
        if not math.isnan(x)
    }
    return {
        "box": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
        "landmarks": points,
        "detection_score": detection.score,
        "quality": {
            "score": quality.score,
            "sharpness": quality.sharpness,
            "brightness": quality.brightness,
            "yaw": quality.yaw,
            "pitch": quality.pitch,
            "roll": quality.roll,
        },
        "reasons": [enum_to_wire(pb.FaceReason, reason) for reason in reasons],
    }
