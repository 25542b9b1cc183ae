"""The guests' selfies: one each, framed and lit unlike the event's photos."""

from dataclasses import dataclass

import numpy as np

from demo.darkroom import BgrImage, Look, develop, fit
from demo.event import SEED
from demo.frame import compose
from demo.people import TOM, source_of

FACE_FILLS_FRAME = (1.0, 1.2)
ARMS_LENGTH = (1.3, 2.1)
UPRIGHT, SIDEWAYS = (3 / 4,), (4 / 3,)


@dataclass(frozen=True, slots=True)
class Pose:
    """How one guest holds the phone. tilt_deg: turns the scene clockwise, the face upright."""

    guest: str
    room: tuple[float, float]
    aspects: tuple[float, ...]
    tilt_deg: float
    file_type: str = "jpg"


POSES = (
    Pose("Ada", ARMS_LENGTH, UPRIGHT, 8),
    Pose("Bea", FACE_FILLS_FRAME, UPRIGHT, 8, "png"),
    Pose("Carl", ARMS_LENGTH, UPRIGHT, -4),
    Pose("Dan", FACE_FILLS_FRAME, UPRIGHT, -2),
    Pose("Eric", ARMS_LENGTH, SIDEWAYS, 6, "png"),
    Pose("Fay", FACE_FILLS_FRAME, SIDEWAYS, 0),
    Pose("Astronaut", ARMS_LENGTH, UPRIGHT, 3),
    Pose(TOM, FACE_FILLS_FRAME, UPRIGHT, 0, "png"),
)


@dataclass(frozen=True, slots=True)
class Selfie:
    """One guest's selfie. image: (H, W, 3) BGR."""

    guest: str
    file_name: str
    image: BgrImage


def take_selfies() -> list[Selfie]:
    """One selfie of every guest."""
    return [_take(position, pose) for position, pose in enumerate(POSES)]


def _take(position: int, pose: Pose) -> Selfie:
    rng = np.random.default_rng((SEED, 1_000_000 + position))
    source = source_of(pose.guest)
    picture = source.image
    # Tom's picture is a face that fills the frame already.
    if pose.guest != TOM:
        frame = compose(
            source, [pose.guest], rng, tilt_deg=pose.tilt_deg, room=pose.room, aspects=pose.aspects
        )
        picture = frame.cut(picture)
    look = Look(
        stops=float(rng.uniform(-0.5, 0.4)),
        warmth=float(rng.uniform(-0.5, 0.4)) if pose.guest != TOM else 0.0,
        blur_px=float(rng.uniform(0.3, 0.8)),
        noise=float(rng.uniform(1, 5)),
        long_side=int(rng.integers(640, 1000)),
    )
    image = develop(fit(picture, look.long_side), look, rng)
    return Selfie(pose.guest, f"{pose.guest.lower()}.{pose.file_type}", image)
