"""Which calls are traced: W3C Trace Context, and how large a share of the others."""

import pytest

from common.traces.span import Root, current, stage
from common.traces.tracer import Tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
METHOD = "/facepass.v1.Searcher/Search"


def call(ratio: float, traceparent: str | bytes) -> Root | None:
    metadata = (("user-agent", "grpc"), ("traceparent", traceparent))
    return Tracer(ratio, lambda _: None).call(METHOD, metadata)


@pytest.mark.parametrize("rest", ["", "-"])
@pytest.mark.parametrize("version", ["00", "01", "fe"])
@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_who_brings_a_trace_is_in_it(version: str, flags: str, rest: str) -> None:
    later = rest if version != "00" else ""
    span = call(0, f"{version}-{TRACE}-{SPAN}-{flags}{later}")
    assert span is not None
    assert (span.trace_id, span.parent_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
def test_who_brings_a_trace_decides_that_it_is_not_recorded(flags: str) -> None:
    assert call(1, f"00-{TRACE}-{SPAN}-{flags}") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"01-{TRACE}-{SPAN}-01more",
        f"{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01".encode(),
    ],
)
def test_what_is_no_trace_is_passed_over(wrong: str | bytes) -> None:
    assert call(0, wrong) is None
    span = call(1, wrong)
    assert span is not None
    assert span.trace_id != TRACE and not span.parent_id


def test_the_share_that_is_asked_for_is_recorded() -> None:
    tracer = Tracer(0.3, lambda _: None)
    found = [span for _ in range(10_000) if (span := tracer.call(METHOD, ())) is not None]
    assert 2_500 < len(found) < 3_500
    assert len({span.trace_id for span in found}) == len(found)


def test_a_trace_has_an_end() -> None:
    """Whatever a call that goes on for hours does."""
    sent: list[int] = []
    root = Tracer(1, lambda spans: sent.append(len(spans))).call(METHOD, ())
    assert root is not None
    with root:
        for _ in range(10_000):
            with stage("connection"):
                pass
    assert 1 < sent[0] < 1_000


def test_a_part_is_only_measured_where_the_whole_is() -> None:
    ended: list[str] = []
    tracer = Tracer(0, lambda spans: ended.extend(span.name for span in spans))
    with tracer.apart("photo"), stage("commit") as span:
        assert span is None and current.get() is None
    assert ended == []
