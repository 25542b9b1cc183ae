"""The gallery page: complete, safe, and boxes in the right place."""

import re
from html.parser import HTMLParser

import pytest
from facepass.report import FoundPhoto, GuestReport, counted, coverage_line, render
from facepass.v1 import searcher_pb2, types_pb2

EVIL = '"><script>alert(1)</script>'
VOID = {"meta", "img"}


class Page(HTMLParser):
    """The page's elements, checked to be properly nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, cls: str = "") -> list[dict[str, str]]:
        return [
            attrs
            for found, attrs in self.elements
            if found == tag and (not cls or cls in attrs.get("class", "").split())
        ]


def photo(image: str = "a.jpg", **changes: object) -> FoundPhoto:
    values: dict[str, object] = {
        "image": image,
        "caption": "a.jpg",
        "similarity": 0.8123,
        "confident": True,
        "box": (100.0, 50.0, 200.0, 100.0),
        "width": 1000,
        "height": 500,
    }
    return FoundPhoto(**(values | changes))  # type: ignore[arg-type]


def test_nothing_a_caller_gives_becomes_markup() -> None:
    guest = GuestReport(EVIL, EVIL, [photo(EVIL, caption=EVIL)], [(EVIL, EVIL)], EVIL)
    page = Page(render([guest, guest], title=EVIL, lede=EVIL))
    assert page.all("script") == []
    assert any(EVIL in text for text in page.texts)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "vbscript:x", ""]
)
def test_only_images_are_linked(url: str) -> None:
    page = Page(render([GuestReport("Ann", url, [photo(url)])], title="Party"))
    assert page.all("img") == []
    assert all(link["href"].startswith("#") for link in page.all("a"))


@pytest.mark.parametrize(
    "url",
    [
        "a.jpg",
        "../x/a%20b.jpg",
        "file:///p/a.jpg",
        "https://host/a.jpg",
        "data:image/png;base64,AA",
    ],
)
def test_images_are_shown_with_words_beside_them(url: str) -> None:
    page = Page(render([GuestReport("Ann", url, [photo(url)])], title="Party"))
    assert [(image["src"], bool(image["alt"])) for image in page.all("img")] == [(url, True)] * 2


def test_nothing_is_loaded_but_the_images() -> None:
    text = render([GuestReport("Ann", "s.jpg", [photo()])], title="Party")
    assert re.findall(r"https?://|@import|url\(", text) == []
    assert {tag for tag, _ in Page(text).elements} & {"script", "link", "iframe"} == set()


def test_the_box_is_in_parts_of_the_photo() -> None:
    page = Page(render([GuestReport("Ann", "", [photo()])], title="Party"))
    assert page.all("span", "box")[0]["style"] == (
        "--x:10.000%;--y:10.000%;--w:20.000%;--h:20.000%"
    )
    assert page.all("li")[0]["style"] == "--r:2.0000"


def test_a_photo_of_unknown_size_has_no_box() -> None:
    page = Page(render([GuestReport("Ann", "", [photo(width=0, height=0)])], title="Party"))
    assert page.all("span", "box") == []
    assert len(page.all("img")) == 1


def test_possible_photos_stand_apart_behind_the_confident_ones() -> None:
    photos = [photo("p.jpg", confident=False), photo("c.jpg")]
    page = Page(render([GuestReport("Ann", "", photos)], title="Party"))
    assert [image["src"] for image in page.all("img")] == ["c.jpg", "p.jpg"]
    assert len(page.all("ul", "possible")) == len(page.all("ul", "confident")) == 1
    assert page.texts.count("0.81") == 2


def test_links_inside_the_page_lead_somewhere() -> None:
    guests = [GuestReport(name, "", [photo(), photo(confident=False)]) for name in ("A", "B")]
    page = Page(render(guests, title="Party"))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    back = "#_"
    targets = {a["href"] for a in page.all("a") if a["href"].startswith("#")} - {back}
    assert targets <= {f"#{each}" for each in ids}
    assert {"#guest-1", "#guest-2"} <= targets


def test_a_guest_in_no_photo_is_told_so() -> None:
    assert "No photo found" in render([GuestReport("Ann", "", [])], title="Party")


def test_a_match_becomes_a_photo() -> None:
    match = searcher_pb2.Match(
        photo="events/party/photos/a.jpg",
        similarity=0.5,
        tier=searcher_pb2.MATCH_TIER_POSSIBLE,
        source_uri="file:///a.jpg",
        photo_width=1000,
        photo_height=500,
    )
    box = types_pb2.BoundingBox(x=100, y=50, width=200, height=100)
    match.face.detected.box.CopyFrom(box)
    expected = photo("file:///a.jpg", similarity=0.5, confident=False)
    assert FoundPhoto.from_match(match) == expected
    assert FoundPhoto.from_match(match, "thumb.jpg").image == "thumb.jpg"


def test_coverage_tells_finished_from_unfinished() -> None:
    done = searcher_pb2.Coverage(photos_received=1, photos_indexed=1, faces=2)
    assert coverage_line(done) == "Searched 1 photo with 2 faces."
    open_ = searcher_pb2.Coverage(
        photos_received=1200, photos_indexed=1000, photos_pending=199, photos_rejected=1, faces=1
    )
    assert coverage_line(open_) == (
        "Searched 1,000 photos of 1,200 received with 1 face; 199 still being indexed; 1 rejected."
    )
    assert counted(0, "photo") == "0 photos"
