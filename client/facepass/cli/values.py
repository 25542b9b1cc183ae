"""Values on the command line."""

import argparse
import math
import re
from datetime import datetime, timedelta

from facepass.v1 import types_pb2

QUALITIES = {
    "none": types_pb2.QUALITY_FILTER_NONE,
    "low": types_pb2.QUALITY_FILTER_LOW,
    "medium": types_pb2.QUALITY_FILTER_MEDIUM,
    "high": types_pb2.QUALITY_FILTER_HIGH,
    "auto": types_pb2.QUALITY_FILTER_AUTO,
}
DETAILS = {"standard": types_pb2.DETAIL_STANDARD, "high": types_pb2.DETAIL_HIGH}

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def similarity(text: str) -> float:
    """Read a similarity in (0, 1]."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def above_0(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def index_from_0(text: str) -> int:
    """Read a whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def duration(text: str) -> timedelta:
    """Read a lifetime such as 90m, 12h, 30d or 8w."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no duration such as 12h, 30d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def time(text: str) -> datetime:
    """Read an ISO time; local time where it says no zone."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no time such as 2026-07-01T18:00") from None
    return value if value.tzinfo is not None else value.astimezone()
