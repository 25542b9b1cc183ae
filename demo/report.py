"""What the demo shows at the end: a table, a gallery and one line of JSON."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

from facepass.report import FoundPhoto, GuestReport, render
from facepass.v1 import searcher_pb2

from demo.search import Indexed, Outcome

_ADVICE = {
    searcher_pb2.SELFIE_ADVICE_NO_FACE: "No face was found in the selfie.",
    searcher_pb2.SELFIE_ADVICE_SEVERAL_FACES: (
        "The selfie shows several faces; the largest was used."
    ),
}


def table(outcomes: Sequence[Outcome]) -> str:
    """One line a guest, and the sum; "-" where nobody knows what is right."""
    header = ("guest", "expected", "found", "wrong")
    rows = [(each.guest.name, *map(_figure, _figures(each))) for each in outcomes]
    rows.append(("all", *map(_figure, _sums(outcomes))))
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [_line(row, widths) for row in (header, *rows)]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def gallery(outcomes: Sequence[Outcome], indexed: Indexed, engine: str, page: Path) -> None:
    """Write the page; pictures are linked relative to it."""
    guests = [_guest(each, page.parent) for each in outcomes]
    coverage = outcomes[0].answer.coverage
    page.write_text(
        render(
            guests,
            title="FacePass demo",
            lede=f"Each guest's photos, found with one selfie. Engine: {engine}.",
            coverage=coverage,
        ),
        encoding="utf-8",
    )


def summary(outcomes: Sequence[Outcome], indexed: Indexed, engine: str, seconds: float) -> str:
    """One line of JSON; `expected` and `wrong` are null where nobody knows what is right."""
    expected, found, wrong = _sums(outcomes)
    return json.dumps(
        {
            "photos": indexed.photos,
            "faces": indexed.faces,
            "guests": len(outcomes),
            "expected": expected,
            "found": found,
            "wrong": wrong,
            "engine": engine,
            "seconds": round(seconds, 1),
        }
    )


def _figures(outcome: Outcome) -> tuple[int | None, int, int | None]:
    return outcome.expected, outcome.found, outcome.wrong


def _sums(outcomes: Sequence[Outcome]) -> tuple[int | None, int, int | None]:
    found = sum(each.found for each in outcomes)
    expected = [each.expected for each in outcomes if each.expected is not None]
    wrong = [each.wrong for each in outcomes if each.wrong is not None]
    return sum(expected) if expected else None, found, sum(wrong) if wrong else None


def _figure(value: int | None) -> str:
    return "-" if value is None else str(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])


def _guest(outcome: Outcome, folder: Path) -> GuestReport:
    photos = [
        FoundPhoto.from_match(match, _link(_path(match.source_uri), folder))
        for match in outcome.answer.matches
    ]
    advice = outcome.answer.probes[0].advice
    return GuestReport(
        name=outcome.guest.name,
        selfie=_link(outcome.guest.selfie, folder),
        photos=photos,
        facts=_facts(outcome),
        note=" ".join(_ADVICE[each] for each in advice if each in _ADVICE),
    )


def _facts(outcome: Outcome) -> list[tuple[str, str]]:
    if outcome.expected is None:
        return []
    return [(f"{outcome.found} of {outcome.expected}", "photos"), (str(outcome.wrong), "wrong")]


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _link(path: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(path, folder)).as_posix())
