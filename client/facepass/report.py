"""A gallery of search results as one HTML file: no scripts, nothing loaded but its images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from facepass.v1 import searcher_pb2

_SAFE_URL = re.compile(
    r"(?:https?:|file:|data:image/(?:jpeg|png|webp);|(?![a-z][a-z0-9+.-]*:))", re.I
)
_LEGEND = (
    "Similarity is the cosine between two faces, at most 1; higher is closer. "
    "A solid box is the same person by the model's calibration, a dashed one is possibly the same."
)


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """One photo in which a guest was found.

    image: URL for the page: relative path, `file:`, `http(s):` or `data:image/...`; anything else
    is left out.
    box: x, y, width and height in pixels of the upright photo, whose size is `width` x `height`;
    browsers turn photos upright themselves.
    """

    image: str
    caption: str
    similarity: float
    confident: bool
    box: tuple[float, float, float, float]
    width: int
    height: int

    @classmethod
    def from_match(cls, match: searcher_pb2.Match, image: str | None = None) -> "FoundPhoto":
        """Take a search's match; `image` defaults to the photo's `source_uri`."""
        box = match.face.detected.box
        return cls(
            image=match.source_uri if image is None else image,
            caption=match.file_name or match.photo.rpartition("/")[2],
            similarity=match.similarity,
            confident=match.tier == searcher_pb2.MATCH_TIER_CONFIDENT,
            box=(box.x, box.y, box.width, box.height),
            width=match.photo_width,
            height=match.photo_height,
        )


@dataclass(frozen=True, slots=True)
class GuestReport:
    """One guest and the photos found with the selfie (an image URL as in `FoundPhoto`, or empty).

    facts: figures shown under the name, as (value, what it counts); empty: the number of photos.
    note: one sentence about the search, such as which of several faces was used.
    """

    name: str
    selfie: str
    photos: Sequence[FoundPhoto]
    facts: Sequence[tuple[str, str]] = ()
    note: str = ""


def render(
    guests: Sequence[GuestReport],
    *,
    title: str,
    lede: str = "",
    coverage: searcher_pb2.Coverage | None = None,
) -> str:
    """Return the whole page; photos in the order given, those that are only possible apart."""
    head = f"<h1>{escape(title)}</h1>"
    if lede:
        head += f'\n<p class="lede">{escape(lede)}</p>'
    if coverage is not None:
        head += f'\n<p class="coverage">{escape(coverage_line(coverage))}</p>'
    if len(guests) > 1:
        head += f'\n<nav aria-label="Guests"><ul class="guests">{_index(guests)}</ul></nav>'
    sections = "\n".join(_guest(number, guest) for number, guest in enumerate(guests, start=1))
    style = files("facepass").joinpath("report.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
{head}
</header>
<main>
{sections}
</main>
<footer><p>{escape(_LEGEND)}</p></footer>
</body>
</html>
"""


def coverage_line(coverage: searcher_pb2.Coverage) -> str:
    """Say in words what a search's answer speaks for."""
    searched = f"Searched {counted(coverage.photos_indexed, 'photo')}"
    if coverage.photos_received != coverage.photos_indexed:
        searched += f" of {coverage.photos_received:,} received"
    parts = [f"{searched} with {counted(coverage.faces, 'face')}"]
    if coverage.photos_pending:
        parts.append(f"{coverage.photos_pending:,} still being indexed")
    if coverage.photos_rejected:
        parts.append(f"{coverage.photos_rejected:,} rejected")
    return "; ".join(parts) + "."


def counted(number: int, noun: str) -> str:
    """Return `1 photo`, `2 photos`, `1,000 photos`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _index(guests: Sequence[GuestReport]) -> str:
    return "".join(
        f'<li><a href="#guest-{number}">{_selfie(guest, alt="")}<span>{escape(guest.name)} '
        f"<b>{len(guest.photos):,}</b></span></a></li>"
        for number, guest in enumerate(guests, start=1)
    )


def _selfie(guest: GuestReport, *, alt: str) -> str:
    if not _shown(guest.selfie):
        return '<span class="face"></span>'
    return f'<img class="face" src="{escape(guest.selfie)}" alt="{escape(alt)}">'


def _guest(number: int, guest: GuestReport) -> str:
    facts = guest.facts or [
        (f"{len(guest.photos):,}", "photo" if len(guest.photos) == 1 else "photos")
    ]
    shown_facts = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for value, label in facts
    )
    note = f'\n<p class="note">{escape(guest.note)}</p>' if guest.note else ""
    confident = [photo for photo in guest.photos if photo.confident]
    possible = [photo for photo in guest.photos if not photo.confident]
    prefix = f"photo-{number}"
    found = _photos(confident, f"{prefix}-c", "confident", "Found", guest.name)
    found += _photos(possible, f"{prefix}-p", "possible", "Possibly", guest.name)
    return f"""<section class="guest" id="guest-{number}" aria-labelledby="name-{number}">
<div class="who">
{_selfie(guest, alt=f"Selfie of {guest.name}")}
<div>
<h2 id="name-{number}">{escape(guest.name)}</h2>
<dl class="facts">{shown_facts}</dl>{note}
</div>
</div>
{found or '<p class="none">No photo found.</p>'}
</section>"""


def _photos(photos: Sequence[FoundPhoto], prefix: str, tier: str, heading: str, guest: str) -> str:
    if not photos:
        return ""
    cells = "\n".join(
        _photo(photo, f"{prefix}{number}", guest) for number, photo in enumerate(photos, start=1)
    )
    return (
        f"<h3>{heading} <small>{counted(len(photos), 'photo')}</small></h3>\n"
        f'<ul class="photos {tier}">\n{cells}\n</ul>\n'
    )


def _photo(photo: FoundPhoto, anchor: str, guest: str) -> str:
    ratio = photo.width / photo.height if photo.width > 0 and photo.height > 0 else 1.5
    caption = escape(photo.caption)
    alt = escape(f"{photo.caption}: {guest} is in the box")
    image = original = ""
    if _shown(photo.image):
        url = escape(photo.image)
        image = f'<img src="{url}" alt="{alt}" loading="lazy">'
        if not photo.image.lower().startswith("data:"):
            original = f'<a class="original" href="{url}">Open the original</a>'
    return (
        f'<li style="--r:{ratio:.4f}"><figure id="{anchor}">'
        f'<a class="close" href="#_" aria-label="Back to all photos">&times;</a>'
        f'<a class="frame" href="#{anchor}" aria-label="Enlarge {caption}">{image}{_box(photo)}</a>'
        f'<figcaption><span class="name" title="{caption}">{caption}</span>{original}'
        f'<span class="similarity" title="Similarity">{photo.similarity:.2f}</span></figcaption>'
        f"</figure></li>"
    )


def _box(photo: FoundPhoto) -> str:
    if photo.width <= 0 or photo.height <= 0:
        return ""
    x, y, width, height = photo.box
    style = ";".join(
        f"--{name}:{100 * length / side:.3f}%"
        for name, length, side in (
            ("x", x, photo.width),
            ("y", y, photo.height),
            ("w", width, photo.width),
            ("h", height, photo.height),
        )
    )
    return f'<span class="box" style="{style}"></span>'


def _shown(url: str) -> bool:
    return bool(url) and _SAFE_URL.match(url.strip()) is not None and "\n" not in url
