"""What light, lens, camera and compression do to a photo. All images are (H, W, 3) uint8 BGR."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

BgrImage = NDArray[np.uint8]

MAX_TILT_DEG = 15.0


@dataclass(frozen=True, slots=True)
class Look:
    """How one photo was taken and saved.

    stops: exposure in EV, 0 is right. warmth: -1 (blue) to 1 (orange). blur_px, shake_px: standard
    deviation of the lens blur and length of the motion blur, for a photo of 1,000 px. noise:
    standard deviation in grey levels. long_side: of the saved photo in pixels. quality: JPEG's,
    1 to 100. effects: names of what stands out.
    """

    stops: float = 0.0
    warmth: float = 0.0
    blur_px: float = 0.0
    shake_px: float = 0.0
    noise: float = 0.0
    monochrome: bool = False
    long_side: int = 1000
    quality: int = 90
    effects: tuple[str, ...] = ()


LIGHT = ("dark", "bright", "warm", "cool", "monochrome")
DETAIL = ("blurred", "shaken", "noisy", "compressed", "small")


def draw_look(rng: Generator, *, monochrome: bool = False) -> Look:
    """Draw one look: a little of everything, at most one effect of light and one of detail."""
    effects = tuple(
        str(rng.choice(names))
        for names, chance in ((LIGHT, 0.55), (DETAIL, 0.55))
        if rng.random() < chance
    )
    if monochrome:
        effects = ("monochrome", *(e for e in effects if e in DETAIL or e in ("dark", "bright")))
    return _look(rng, tuple(dict.fromkeys(effects)))


def _look(rng: Generator, effects: tuple[str, ...]) -> Look:
    def pick(effect: str, low: float, high: float, otherwise: tuple[float, float]) -> float:
        chosen = (low, high) if effect in effects else otherwise
        return float(rng.uniform(*chosen))

    stops = pick("dark", -1.8, -1.0, (-0.3, 0.3))
    if "bright" in effects:
        stops = float(rng.uniform(0.6, 1.1))
    warmth = pick("warm", 0.5, 1.0, (-0.2, 0.2))
    if "cool" in effects:
        warmth = float(rng.uniform(-1.0, -0.5))
    return Look(
        stops=stops,
        warmth=warmth,
        blur_px=pick("blurred", 0.9, 2.2, (0.0, 0.4)),
        shake_px=pick("shaken", 5.0, 11.0, (0.0, 0.0)),
        noise=pick("noisy", 7.0, 14.0, (0.0, 3.0)),
        monochrome="monochrome" in effects,
        long_side=round(pick("small", 480, 640, (900, 1280))),
        quality=round(pick("compressed", 18, 38, (78, 95))),
        effects=effects,
    )


def develop(image: BgrImage, look: Look, rng: Generator) -> BgrImage:
    """Apply a look to a sharp, well lit picture of the final size."""
    scale = max(image.shape[:2]) / 1000
    result = _expose(image, look.stops)
    result = _blur(result, look.blur_px * scale)
    result = _shake(result, look.shake_px * scale, float(rng.uniform(0, 180)))
    result = _grain(result, look.noise, rng)
    if look.monochrome:
        grey: BgrImage = cv2.cvtColor(cv2.cvtColor(result, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        return grey
    return _warm(result, look.warmth)


def fit(image: BgrImage, long_side: int) -> BgrImage:
    """Scale so that the longer side has `long_side` pixels."""
    height, width = image.shape[:2]
    factor = long_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled: BgrImage = cv2.resize(image, size, interpolation=smooth)
    return scaled


def _expose(image: BgrImage, stops: float) -> BgrImage:
    """Multiply the light by 2 ** stops; highlights clip as a sensor's do."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = np.clip(linear * 2.0**stops, 0, 1)
    display = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    exposed: BgrImage = cv2.LUT(image, np.round(display * 255).astype(np.uint8))
    return exposed


def _warm(image: BgrImage, warmth: float) -> BgrImage:
    """Shift the white balance; 1 is a tungsten lamp left uncorrected, -1 is open shade."""
    gains = np.array([1 - 0.22 * warmth, 1.0, 1 + 0.18 * warmth])
    levels = np.clip(np.arange(256)[:, None] * gains, 0, 255).astype(np.uint8)
    balanced: BgrImage = cv2.LUT(image, levels.reshape(256, 1, 3))
    return balanced


def _blur(image: BgrImage, sigma_px: float) -> BgrImage:
    if sigma_px < 0.2:
        return image
    blurred: BgrImage = cv2.GaussianBlur(image, (0, 0), sigma_px)
    return blurred


def _shake(image: BgrImage, length_px: float, direction_deg: float) -> BgrImage:
    """Smear along a straight line, as a hand-held camera does."""
    if length_px < 1.5:
        return image
    size = 2 * int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2] = np.clip((length_px + 1) / 2 - np.abs(np.arange(size) - size // 2), 0, 1)
    turn = cv2.getRotationMatrix2D((size // 2, size // 2), direction_deg, 1)
    kernel = cv2.warpAffine(kernel, turn, (size, size))
    kernel /= kernel.sum()
    shaken: BgrImage = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return shaken


def _grain(image: BgrImage, sigma: float, rng: Generator) -> BgrImage:
    if sigma < 0.5:
        return image
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + sigma * grain, 0, 255).astype(np.uint8)
