"""Panels are drawn as well-formed SVG that shows what there is, and gaps where there is nothing."""

from xml.etree import ElementTree

import pytest

from tools.drawing import PAGE_WIDTH, Line, Picture, Span, draw, told

SVG = "{http://www.w3.org/2000/svg}"
SPAN = Span(length=60.0, step=1.0, faults=[(10.0, 20.0)])
CLIMB = [(float(second), float(second)) for second in range(60)]


def drawn(*pictures: Picture) -> ElementTree.Element:
    return ElementTree.fromstring(draw(pictures, SPAN))


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def curves(root: ElementTree.Element) -> list[str]:
    return [each.get("d", "") for each in root.iter(f"{SVG}path") if each.get("class") == "l"]


def panel(*lines: Line, unit: str = "short", stat: bool = False) -> Picture:
    return Picture("<Calls & more>", unit, stat, "Shows only what fails.", lines)


def test_a_panel_shows_its_title_lines_and_faults() -> None:
    root = drawn(panel(Line("one", CLIMB), Line("two", [(at, 1.0) for at, _ in CLIMB])))
    assert {"<Calls & more>", "one", "two", "1", "0 min"} <= set(texts(root))
    (fault,) = (each for each in root.iter(f"{SVG}rect") if each.get("class") == "f")
    assert float(fault.get("width", 0)) > 0
    climb, level = curves(root)
    # A level line needs its two ends alone.
    assert climb.count("L") == 59 and level.count("L") == 1


def test_where_nothing_was_no_line_is_drawn() -> None:
    gap = [point for point in CLIMB if not 20 < point[0] < 30]
    assert len(curves(drawn(panel(Line("one", gap))))) == 2


def test_an_empty_panel_says_why() -> None:
    assert "Shows only what fails." in texts(drawn(panel()))


def test_a_stat_shows_its_last_value() -> None:
    assert "59 s" in texts(drawn(panel(Line("age", CLIMB), unit="s", stat=True)))


def test_a_legend_with_too_many_names_counts_the_rest() -> None:
    lines = [Line(f"a name of some length, number {number}", CLIMB) for number in range(9)]
    assert any(text.startswith("+ ") for text in texts(drawn(panel(*lines))))


def test_panels_stand_three_abreast() -> None:
    root = drawn(*[panel(Line("one", CLIMB))] * 4)
    width, height = (float(each) for each in root.get("viewBox", "").split()[2:])
    assert width == PAGE_WIDTH and height < width
    assert len(list(root.iter(f"{SVG}g"))) == 4


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.0004, "s", "400 µs"),
        (0.25, "s", "250 ms"),
        (90, "s", "90 s"),
        (600, "s", "10 min"),
        (90_000, "s", "25 h"),
        (1000, "bytes", "1000 B"),
        (1536, "bytes", "1.5 KiB"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (0.995, "percentunit", "99.5 %"),
        (12_300, "reqps", "12.3 k/s"),
        (7, "short", "7"),
    ],
)
def test_values_are_told_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert told(value, unit) == text
