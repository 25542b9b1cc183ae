"""Framing: which part of a source picture a photo shows, and who is in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from demo.people import BgrImage, Figure, Rect, Source, around

FACE_MARGIN = 1.15
"""A guest is shown when the face and this much around it is inside the frame."""
HAIR_SHARE = 0.05
"""A guest is not shown when less than this share of the head is inside: a wisp of hair."""
TRIES = 120
ASPECTS = (4 / 5, 1.0, 5 / 4, 3 / 2)
PORTRAIT = (2 / 3, 3 / 4, 4 / 5)
TIGHT = (0.92, 1.4)


class Unframeable(Exception):
    """No frame shows exactly the wanted guests."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A tilted rectangle of a picture, in its pixels; `tilt_deg` turns the scene clockwise."""

    x: float
    y: float
    width: float
    height: float
    tilt_deg: float

    def to_photo(self) -> NDArray[np.float64]:
        """(2, 3) affine map from source pixels to the frame's own."""
        matrix: NDArray[np.float64] = cv2.getRotationMatrix2D((self.x, self.y), -self.tilt_deg, 1.0)
        matrix[:, 2] += (self.width / 2 - self.x, self.height / 2 - self.y)
        return matrix

    def corners(self) -> NDArray[np.float64]:
        """(4, 2) corners in source pixels."""
        local = np.array([(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)])
        inverse: NDArray[np.float64] = cv2.invertAffineTransform(self.to_photo())
        return local @ inverse[:, :2].T + inverse[:, 2]

    def moved_onto(self, image: BgrImage) -> "Frame | None":
        """The same frame, moved to lie on the picture; None where it is too large for it."""
        reach_x, reach_y = np.abs(self.corners() - (self.x, self.y)).max(axis=0)
        height, width = image.shape[:2]
        if 2 * reach_x > width - 1 or 2 * reach_y > height - 1:
            return None
        x = float(np.clip(self.x, reach_x, width - 1 - reach_x))
        y = float(np.clip(self.y, reach_y, height - 1 - reach_y))
        return replace(self, x=x, y=y)

    def cut(self, image: BgrImage) -> BgrImage:
        """The frame's part of the picture, upright, at the picture's scale."""
        size = (round(self.width), round(self.height))
        cut: BgrImage = cv2.warpAffine(
            image, self.to_photo(), size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return cut


def visible(frame: Frame, figure: Figure) -> bool | None:
    """Whether the frame shows the guest; None when it cuts through the head."""
    matrix = frame.to_photo()

    def mapped(corners: NDArray[np.float32]) -> NDArray[np.float32]:
        return (corners @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    face = mapped(figure.face.grown(FACE_MARGIN).corners())
    if (face >= 0).all() and (face <= (frame.width, frame.height)).all():
        return True
    head = mapped(figure.head.corners())
    edge = np.array(
        [(0, 0), (frame.width, 0), (frame.width, frame.height), (0, frame.height)], np.float32
    )
    inside, _ = cv2.intersectConvexConvex(head, edge)
    return False if inside <= HAIR_SHARE * cv2.contourArea(head) else None


def shows_exactly(frame: Frame, source: Source, guests: Sequence[str]) -> bool:
    """Whether the frame shows these guests whole and nobody else even in part."""
    return all(visible(frame, f) is (f.guest in guests) for f in source.figures)


def compose(
    source: Source,
    guests: Sequence[str],
    rng: Generator,
    *,
    tilt_deg: float,
    room: tuple[float, float],
    aspects: tuple[float, ...] = ASPECTS,
) -> Frame:
    """Choose a frame for these guests, as a photographer would: roughly centred, with some room.

    tilt_deg: wanted tilt; reduced only where the picture is too small to be cut so. room: least and
    most size of the frame, in multiples of the guests' heads; TIGHT where neighbours stand too
    close. aspects: width / height to choose from. Raises Unframeable.
    """
    heads = around([source.figure(guest).head for guest in guests])
    while True:
        for attempt in range(TRIES):
            step_back = room if attempt < TRIES / 2 else TIGHT
            frame = _draw(heads, rng, tilt_deg, step_back, aspects).moved_onto(source.image)
            if frame is not None and shows_exactly(frame, source, guests):
                return frame
        if abs(tilt_deg) < 0.5:
            raise Unframeable(f"no frame shows exactly {', '.join(guests)}")
        tilt_deg *= 0.75


def _draw(
    heads: Rect,
    rng: Generator,
    tilt_deg: float,
    room: tuple[float, float],
    aspects: tuple[float, ...],
) -> Frame:
    heads_width, heads_height = heads.right - heads.left, heads.bottom - heads.top
    aspect = float(rng.choice(aspects))
    # Fill the aspect around the heads, then step back.
    width = max(heads_width, heads_height * aspect) * float(rng.uniform(*room))
    height = width / aspect
    x, y = heads.centre
    shift_x = float(rng.uniform(-0.35, 0.35)) * (width - heads_width)
    shift_y = float(rng.uniform(-0.2, 0.45)) * (height - heads_height)
    return Frame(x + shift_x, y + shift_y, width, height, tilt_deg)
