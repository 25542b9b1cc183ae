"""Draws rows of panels as SVG: text stays sharp, and a row takes some kilobytes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, GAP, ABREAST = 392, 230, 12, 3
PAGE_WIDTH = ABREAST * WIDTH + (ABREAST - 1) * GAP
_LEFT, _RIGHT, _TOP, _LEGEND, _AXIS = 58, 12, 36, 17, 20
_TICKS, _CHARACTER, _LEGEND_ROWS, _LONGEST = 4, 6.3, 3, 44
_COLOURS = (
    "#73bf69", "#5794f2", "#ff9830", "#f2cc0c", "#b877d9", "#f2495c", "#5cd3d0", "#c0d8ff",
    "#ffa6b0", "#96d98d",
)  # fmt: skip
_STYLE = """
text{font:12px Inter,Helvetica,Arial,sans-serif;fill:#9fa7b3}
.t{font-size:13px;font-weight:600;fill:#d8d9da}
.v{font-size:20px;font-weight:600;fill:#73bf69}.e{text-anchor:end}
.m{text-anchor:middle}.p{fill:#181b1f;stroke:#2c3235}.g{stroke:#2a2e33}.l{fill:none;stroke-width:1.5;stroke-linejoin:round}
.f{fill:#f2495c;fill-opacity:.13}
.n{fill:#f2495c;font-size:11px}.s{font-size:11px}
""".replace("\n", "")  # fmt: skip
_TIMES = ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"))

Points = Sequence[tuple[float, float]]
"""Seconds since some moment, and values."""


@dataclass(frozen=True)
class Line:
    """One series."""

    legend: str
    points: Points


@dataclass(frozen=True)
class Picture:
    """One panel. stat: the last value in large, in place of axes. about: said where it is empty."""

    title: str
    unit: str
    stat: bool
    about: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Span:
    """The time that all panels show, and what was broken in it, in its seconds. step: between
    points; where two are further apart, there was nothing."""

    length: float
    step: float
    faults: Sequence[tuple[float, float]]


def draw(pictures: Sequence[Picture], span: Span) -> str:
    """An SVG of a row of panels, or of several below each other."""
    height = math.ceil(len(pictures) / ABREAST) * (HEIGHT + GAP) - GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PAGE_WIDTH} {height}">']
    parts += [f"<style>{_STYLE}</style>", '<rect width="100%" height="100%" fill="#111217"/>']
    for number, picture in enumerate(pictures):
        down, across = divmod(number, ABREAST)
        parts.append(
            f'<g transform="translate({across * (WIDTH + GAP)},{down * (HEIGHT + GAP)})">'
            f'<rect class="p" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="3"/>'
            f"{_text(12, 21, picture.title, 't')}"
        )
        parts += _inside(picture, span)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _inside(picture: Picture, span: Span) -> Iterator[str]:
    if not picture.lines:
        yield _text(WIDTH / 2, HEIGHT / 2, "No data", "m")
        yield _text(WIDTH / 2, HEIGHT / 2 + 18, picture.about, "m")
    elif picture.stat:
        yield from _stats(picture, span)
    else:
        yield from _graph(picture, span)


def _stats(picture: Picture, span: Span) -> Iterator[str]:
    each = (HEIGHT - _TOP - 8) / len(picture.lines)
    for number, line in enumerate(picture.lines):
        top, colour = _TOP + number * each, _COLOURS[0]
        most = max(value for _, value in line.points) or 1
        box = _Box(12, top + each * 0.45, WIDTH - 24, each * 0.45, span.length, most)
        yield _text(12, top + 16, line.legend, "s")
        yield _text(WIDTH - 12, top + 20, told(line.points[-1][1], picture.unit), "v e")
        yield from box.line(line.points, span.step, colour, filled=True)


def _graph(picture: Picture, span: Span) -> Iterator[str]:
    legend = list(_legend([line.legend for line in picture.lines]))
    rows = 1 + max(row for row, _, _, _ in legend)
    bottom = HEIGHT - 8 - rows * _LEGEND
    most = max(value for line in picture.lines for _, value in line.points)
    step = _tick(most, picture.unit)
    top_value = max(1, math.ceil(most / step - 1e-9)) * step
    height = bottom - _AXIS - _TOP
    box = _Box(_LEFT, _TOP, WIDTH - _LEFT - _RIGHT, height, span.length, top_value)
    yield from _grid(box, step, picture.unit)
    for number, (start, end) in enumerate(span.faults, 1):
        x, width = box.x(start), box.x(end) - box.x(start)
        place = f'x="{_n(x)}" y="{_TOP}" width="{_n(width)}" height="{_n(height)}"'
        yield f'<rect class="f" {place}/>'
        yield _text(x + 2, _TOP + 10, str(number), "n")
    for number, line in enumerate(picture.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        yield from box.line(line.points, span.step, colour, filled=len(picture.lines) == 1)
    for row, x, colour, text in legend:
        y = bottom + 12 + row * _LEGEND
        yield f'<path stroke="{colour}" stroke-width="3" d="M{_n(x)} {y - 4}h12"/>'
        yield _text(x + 17, y, text)


def _grid(box: "_Box", step: float, unit: str) -> Iterator[str]:
    for number in range(round(box.most / step) + 1):
        y = box.y(number * step)
        yield f'<path class="g" d="M{_LEFT} {_n(y)}H{WIDTH - _RIGHT}"/>'
        yield _text(_LEFT - 6, y + 4, told(number * step, unit), "e")
    every = _nice(box.length / 60 / 5)
    for number in range(int(box.length / 60 / every) + 1):
        text = f"{number * every:g}" if number else "0 min"
        yield _text(box.x(number * every * 60), box.bottom + 15, text, "m")


def _legend(names: Sequence[str]) -> Iterator[tuple[int, float, str, str]]:
    """Row, place in it, colour and text of each entry; what does not fit is counted."""
    row, x = 0, 12.0
    for number, name in enumerate(names):
        text = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        width = len(text) * _CHARACTER + 30
        if x + width > WIDTH and x > 12:
            row, x = row + 1, 12.0
        if row == _LEGEND_ROWS:
            yield row - 1, WIDTH - 70.0, "#9fa7b3", f"+ {len(names) - number}"
            return
        yield row, x, _COLOURS[number % len(_COLOURS)], text
        x += width


@dataclass(frozen=True)
class _Box:
    """Where the lines of a panel are, and what its sides stand for."""

    left: float
    top: float
    width: float
    height: float
    length: float
    most: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, seconds: float) -> float:
        return self.left + self.width * min(max(seconds / self.length, 0), 1)

    def y(self, value: float) -> float:
        return self.bottom - self.height * min(max(value / self.most, 0), 1)

    def line(self, points: Points, step: float, colour: str, *, filled: bool) -> Iterator[str]:
        """One path for each stretch without a gap."""
        for stretch in _stretches(points, step):
            places = _bends([(self.x(at), self.y(value)) for at, value in stretch])
            path = "L".join(f"{_n(x)} {_n(y)}" for x, y in places)
            if filled:
                area = f"M{_n(places[0][0])} {_n(self.bottom)}L{path}V{_n(self.bottom)}z"
                yield f'<path fill="{colour}" fill-opacity=".15" d="{area}"/>'
            yield f'<path class="l" stroke="{colour}" d="M{path}{"h1" * (len(places) == 1)}"/>'


def _stretches(points: Points, step: float) -> Iterator[list[tuple[float, float]]]:
    stretch: list[tuple[float, float]] = []
    for at, value in points:
        if stretch and at - stretch[-1][0] > 1.5 * step:
            yield stretch
            stretch = []
        stretch.append((at, value))
    if stretch:
        yield stretch


def _bends(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without those in the middle of level pieces."""
    inner = zip(places, places[1:], places[2:], strict=False)
    kept = [here for before, here, after in inner if not before[1] == here[1] == after[1]]
    return [places[0], *kept, *places[1:][-1:]]


def told(value: float, unit: str) -> str:
    """A value as people read it. unit: as Grafana names it."""
    match unit:
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "bytes":
            return _scaled(value, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))
        case "s":
            if value == 0:
                return "0 s"
            for below, times, name in _TIMES:
                if value < below:
                    return f"{value * times:.3g} {name}"
            return f"{value / 3600:.3g} h"
    return _scaled(value, 1000, ("", " k", " M", " G")) + "/s" * (unit == "reqps")


def _scaled(value: float, base: int, names: Sequence[str]) -> str:
    power = 0
    while value >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    # Of a base of 1024, the last few below the next name have four digits.
    return (f"{value:.0f}" if value >= 1000 else f"{value:.3g}") + names[power]


def _tick(most: float, unit: str) -> float:
    """Between lines of the grid."""
    if most <= 0:
        return 1.0
    scale = 1.0
    if unit == "bytes" and most >= 1024:
        scale = 1024.0 ** int(math.log(most, 1024))
    if unit == "s" and most >= 120:
        scale = 60.0 if most < 7200 else 3600.0
    return _nice(most / scale / _TICKS) * scale


def _nice(least: float) -> float:
    """The next of 1, 2, 5, 10, ... that is as large."""
    scale = 10.0 ** math.floor(math.log10(least))
    return next(each * scale for each in (1, 2, 5, 10) if each * scale >= least * (1 - 1e-9))


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    """kind: classes of _STYLE."""
    styled = f' class="{kind}"' if kind else ""
    return f'<text{styled} x="{_n(x)}" y="{_n(y)}">{escape(text)}</text>'


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
