"""What the event's photos show: guests alone and together, prints on a wall, or no guest."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from skimage import data

from demo.darkroom import fit
from demo.frame import ASPECTS, PORTRAIT, Frame, compose
from demo.people import TOM, BgrImage, source_of, table

CLOSE = (1.35, 2.0)
HALF_BODY = (1.9, 3.2)
TOGETHER = (1.08, 1.35)
PAPER = (236, 241, 244)


def together(guests: Sequence[str], rng: Generator, tilt_deg: float) -> tuple[BgrImage, float]:
    """Guests of one source picture in one frame, and the tilt it could be given."""
    room = (CLOSE if rng.random() < 0.4 else HALF_BODY) if len(guests) == 1 else TOGETHER
    source = source_of(guests[0])
    frame = compose(source, guests, rng, tilt_deg=tilt_deg, room=room)
    return frame.cut(source.image), frame.tilt_deg


def group(rng: Generator) -> BgrImage:
    """Everyone at the table, cut a little differently each time."""
    left, top, right, bottom = (float(rng.uniform(0, limit)) for limit in (20, 24, 12, 240))
    image = table().image
    height, width = image.shape[:2]
    size = (width - 1 - left - right, height - 1 - top - bottom)
    return Frame(left + size[0] / 2, top + size[1] / 2, *size, tilt_deg=0.0).cut(image)


def side_by_side(guests: Sequence[str], rng: Generator) -> BgrImage:
    """Several guests put together in one picture, their photos fading into each other."""
    height = 800
    panels = [_panel(guest, height, rng) for guest in guests]
    overlap = 60
    joined = panels[0].astype(np.float32)
    for panel in panels[1:]:
        fade = np.linspace(0, 1, overlap, dtype=np.float32)[None, :, None]
        seam = joined[:, -overlap:] * (1 - fade) + panel[:, :overlap] * fade
        joined = np.concatenate([joined[:, :-overlap], seam, panel[:, overlap:]], axis=1)
    return joined.astype(np.uint8)


def _panel(guest: str, height: int, rng: Generator) -> BgrImage:
    picture = _picture(guest, rng, PORTRAIT)
    size = (round(picture.shape[1] * height / picture.shape[0]), height)
    panel: BgrImage = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return panel


def _picture(guest: str, rng: Generator, aspects: tuple[float, ...] = ASPECTS) -> BgrImage:
    """A picture of one guest. Tom's cannot be framed anew: it is cut close as it is."""
    source = source_of(guest)
    if guest == TOM:
        return source.image
    frame = compose(source, [guest], rng, tilt_deg=0.0, room=HALF_BODY, aspects=aspects)
    return frame.cut(source.image)


def prints(guests: Sequence[str], rng: Generator, tilts_deg: Sequence[float]) -> BgrImage:
    """Paper prints of the guests on a wall, one beside the other, each hung at its own tilt."""
    slot = 620 if len(guests) == 1 else 460
    wall = _wall(slot * len(guests) + 120, slot + 220, rng)
    for position, (guest, tilt_deg) in enumerate(zip(guests, tilts_deg, strict=True)):
        drop = float(rng.uniform(-30, 30))
        centre = (60 + slot * (position + 0.5), wall.shape[0] / 2 + drop)
        wall = _hang(wall, _print(_picture(guest, rng), round(slot * 0.76)), centre, tilt_deg)
    return wall


def _print(picture: BgrImage, long_side: int) -> BgrImage:
    """The picture on paper: with a white border, wider at the bottom."""
    picture = fit(picture, long_side)
    border = round(long_side * 0.06)
    height, width = picture.shape[:2]
    paper = np.empty((height + 4 * border, width + 2 * border, 3), np.uint8)
    paper[:] = PAPER
    paper[border : border + height, border : border + width] = picture
    return paper


def _hang(
    wall: BgrImage, paper: BgrImage, centre: tuple[float, float], tilt_deg: float
) -> BgrImage:
    """Put a print on the wall, turned clockwise by `tilt_deg`, with the shadow it throws."""
    height, width = paper.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -tilt_deg, 1.0)
    turn[:, 2] += (centre[0] - width / 2, centre[1] - height / 2)
    size = (wall.shape[1], wall.shape[0])
    cover = cv2.warpAffine(np.ones((height, width), np.float32), turn, size)[..., None]
    shadow = cv2.GaussianBlur(np.roll(cover[..., 0], (8, 6), (0, 1)), (0, 0), 7)[..., None]
    shaded = wall * (1 - 0.55 * shadow)
    turned = cv2.warpAffine(paper, turn, size, flags=cv2.INTER_LINEAR)
    hung: BgrImage = (shaded * (1 - cover) + turned * cover).astype(np.uint8)
    return hung


_TINTS = ((150, 178, 205), (176, 190, 170), (200, 196, 190))


def _wall(width: int, height: int, rng: Generator) -> BgrImage:
    texture = (data.brick, data.gravel, data.grass)[int(rng.integers(3))]()
    grey = np.pad(texture, ((0, 700), (0, 1600)), mode="symmetric")[:height, :width].astype(
        np.float32
    )
    tint = np.array(_TINTS[int(rng.integers(len(_TINTS)))], np.float32)
    return (np.clip(grey / 160, 0, 1.25)[..., None] * tint).clip(0, 255).astype(np.uint8)


@cache
def _still_lifes() -> tuple[BgrImage, ...]:
    shots = [
        cv2.cvtColor(shot, cv2.COLOR_RGB2BGR)
        for shot in (data.coffee(), data.chelsea(), data.rocket())
    ]
    chips, lamp, glass = (
        table().image[top:bottom, left:right]
        for left, top, right, bottom in (
            (300, 600, 1280, 880),
            (560, 0, 880, 215),
            (95, 610, 520, 886),
        )
    )
    motorcycle = cv2.cvtColor(data.stereo_motorcycle()[0], cv2.COLOR_RGB2BGR)
    return (*shots, chips, lamp, glass, motorcycle)


STILL_LIFES = 7


def still_life(which: int) -> BgrImage:
    """A photo of the event without any guest. which: 0 to STILL_LIFES - 1."""
    return _still_lifes()[which]
