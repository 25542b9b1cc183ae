"""The demo's event: which photos are taken of whom, with the truth kept beside every photo."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from demo import scenes
from demo.darkroom import MAX_TILT_DEG, BgrImage, Look, develop, draw_look, fit
from demo.people import ASTRONAUT, AT_TABLE, TOM

SEED = 20_240_622

TOGETHER = (
    "Ada Bea", "Bea Carl", "Carl Dan", "Dan Eric", "Eric Fay", "Dan Fay",
    "Ada Bea", "Bea Carl", "Carl Dan", "Eric Fay",
    "Ada Bea Carl", "Dan Eric Fay", "Carl Dan Eric", "Bea Carl Dan",
)  # fmt: skip
SIDE_BY_SIDE = (
    "Ada Astronaut", "Carl Fay", "Astronaut Dan Bea",
    "Tom Astronaut", "Eric Ada Fay", "Tom Carl Astronaut",
)  # fmt: skip
ON_A_WALL = (
    "Tom", "Tom", "Tom", "Tom Ada", "Astronaut Eric Tom",
    "Bea Dan", "Fay Tom Carl", "Eric Bea", "Ada Dan Fay",
)  # fmt: skip
GROUPS = 6
ALONE_AT_TABLE = 4
ALONE_ASTRONAUT = 7


@dataclass(frozen=True, slots=True)
class Take:
    """One photo that will be taken, and the truth about it.

    guests: everyone it shows. orientation: EXIF's, how the camera was held (1, 3, 6 or 8).
    """

    number: int
    scene: str
    guests: tuple[str, ...]
    orientation: int
    still_life: int = 0

    @property
    def file_name(self) -> str:
        return f"IMG_{self.number:04d}.jpg"


@dataclass(frozen=True, slots=True)
class Photo:
    """One developed photo. image: (H, W, 3) BGR upright. tilts_deg: of the scene or each print."""

    take: Take
    look: Look
    tilts_deg: tuple[float, ...]
    image: BgrImage


def plan() -> list[Take]:
    """Every photo of the event, in the order of the evening."""
    subjects: list[tuple[str, tuple[str, ...], int]] = []
    for guest in AT_TABLE:
        subjects += [("alone", (guest,), 0)] * ALONE_AT_TABLE
    subjects += [("alone", (ASTRONAUT,), 0)] * ALONE_ASTRONAUT
    subjects += [("group", AT_TABLE, 0)] * GROUPS
    for scene, lists in (
        ("together", TOGETHER),
        ("side by side", SIDE_BY_SIDE),
        ("prints", ON_A_WALL),
    ):
        subjects += [(scene, tuple(guests.split()), 0) for guests in lists]
    subjects += [("still life", (), which) for which in range(scenes.STILL_LIFES)]
    rng = np.random.default_rng(SEED)
    order = [subjects[i] for i in rng.permutation(len(subjects))]
    orientations = rng.choice((1, 3, 6, 8), size=len(order), p=(0.85, 0.03, 0.06, 0.06))
    return [
        Take(number, scene, guests, int(orientation), which)
        for number, ((scene, guests, which), orientation) in enumerate(
            zip(order, orientations, strict=True), start=1
        )
    ]


def develop_photo(take: Take) -> Photo:
    """Take and develop one photo; each has its own seed, so that one does not move the others."""
    rng = np.random.default_rng((SEED, take.number))
    look = draw_look(rng, monochrome=take.scene == "side by side" and TOM in take.guests)
    picture, tilts_deg = _shoot(take, rng)
    return Photo(take, look, tilts_deg, develop(fit(picture, look.long_side), look, rng))


def _shoot(take: Take, rng: Generator) -> tuple[BgrImage, tuple[float, ...]]:
    match take.scene:
        case "alone" | "together":
            picture, tilt_deg = scenes.together(take.guests, rng, _tilt(rng))
            return picture, (tilt_deg,)
        case "side by side":
            return scenes.side_by_side(take.guests, rng), ()
        case "prints":
            tilts_deg = tuple(_tilt(rng) for _ in take.guests)
            return scenes.prints(take.guests, rng, tilts_deg), tilts_deg
        case "group":
            return scenes.group(rng), ()
        case _:
            return scenes.still_life(take.still_life), ()


def _tilt(rng: Generator) -> float:
    """Half of the photos are held straight within 3 degrees, the others as it happens."""
    limit = 3.0 if rng.random() < 0.5 else MAX_TILT_DEG
    return float(rng.uniform(-limit, limit))
