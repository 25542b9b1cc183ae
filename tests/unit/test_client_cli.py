"""The command's words, values and questions."""

import argparse
import io
import json
import os
import pty
from datetime import UTC, timedelta

import pytest
from facepass.cli import output, values, words
from facepass.cli.progress import Progress
from facepass.cli.tally import Tally
from facepass.v1 import indexer_pb2, searcher_pb2, types_pb2

from common.errors import ImageEmpty
from common.rpc.status import status_of


def test_every_piece_of_advice_and_every_reason_has_words() -> None:
    for advice in searcher_pb2.SelfieAdvice.values()[1:]:
        [sentence] = words.advice([advice])  # type: ignore[list-item]
        assert str(advice) not in sentence
    for reason in types_pb2.FaceReason.values()[1:]:
        assert str(reason) not in words.face_reasons([reason])  # type: ignore[list-item]


def test_advice_of_a_newer_server_is_still_shown() -> None:
    unknown = max(searcher_pb2.SelfieAdvice.values()) + 1
    [sentence] = words.advice([unknown])  # type: ignore[list-item]
    assert str(unknown) in sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("8w", timedelta(weeks=8)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert values.duration(text) == expected


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1", "1y", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.duration(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf"])
def test_what_is_no_number_above_0(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.above_0(text)


def test_strangers_are_told_of_when_there_is_one_to_expect() -> None:
    answer = searcher_pb2.SearchResponse(
        total_matches=9, min_similarity=0.4, expected_false_matches=1.2
    )
    assert words.answer_lines(answer) == ["Expect about 1 stranger from similarity 0.40 on."]
    answer.expected_false_matches = 0.1
    assert words.answer_lines(answer) == []
    assert words.answer_lines(searcher_pb2.SearchResponse(expected_false_matches=3)) == []


def test_where_an_answer_came_from_is_told_when_it_may_miss_something() -> None:
    for source in searcher_pb2.SearchSource.values():
        lines = words.answer_lines(searcher_pb2.SearchResponse(source=source))  # type: ignore[arg-type]
        assert ["--exact" in line for line in lines] == (
            [True] if source == searcher_pb2.SEARCH_SOURCE_GRAPH else []
        )


def test_times_have_a_zone() -> None:
    assert values.time("2026-07-01T18:00Z").tzinfo == UTC
    assert values.time("2026-07-01T18:00").tzinfo is not None


def test_names_of_others_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("\x1b]0;owned\x07Ann\u202e\nBen")
    assert capsys.readouterr().out == "\ufffd]0;owned\ufffdAnn\ufffd\nBen\n"


@pytest.mark.parametrize(("answer", "meant"), [("y", True), ("Yes ", True), ("", False)])
def test_deleting_is_confirmed_on_a_terminal(
    answer: str, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        asked = []

        def ask(question: str) -> str:
            asked.append(question)
            return answer

        assert output.confirmed("Delete?", yes=False, ask=ask) == meant
    os.close(controller)
    assert asked == ["Delete? [y/N] "]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(2, quiet=False) as progress:
        progress.advance()
        progress.advance()
    written = terminal.getvalue()
    assert "2/2" in written and "photo/s" in written


def result(state: types_pb2.PhotoState, number: int) -> indexer_pb2.PhotoResult:
    status = status_of(ImageEmpty("the photo has no bytes"))
    return indexer_pb2.PhotoResult(photo_id=f"p{number}", state=state, status=status)


def test_a_summary_tells_rejected_from_failed(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally("party", photos=30, skipped=0)
    for number in range(25):
        tally.add(result(types_pb2.PHOTO_STATE_REJECTED, number), f"{number}.jpg")
    tally.add(result(types_pb2.PHOTO_STATE_FAILED, 25), "25.jpg")
    tally.add(result(types_pb2.PHOTO_STATE_DUPLICATE, 26), "26.jpg")
    tally.finish(1.0, as_json=False)
    text = capsys.readouterr().out
    for line in ("1 already there", "25 rejected", "1 failed", "3 not reached", "and 5 more"):
        assert line in text
    assert "25.jpg: the photo has no bytes (IMAGE_EMPTY)" in text

    tally.finish(1.0, as_json=True)
    summary = json.loads(capsys.readouterr().out)
    assert len(summary["rejected"]) == 25
    assert summary["failed"] == [
        {
            "photo_id": "p25",
            "file": "25.jpg",
            "reason": "IMAGE_EMPTY",
            "message": "the photo has no bytes",
        }
    ]
