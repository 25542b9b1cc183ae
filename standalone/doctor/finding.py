"""What the doctor finds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but not as well or as safely as it should."""
    FAIL = "fail"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. advice: what to do; empty where all is well."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, advice: str) -> Finding:
    return Finding(Level.WARN, subject, text, advice)


def fail(subject: str, text: str, advice: str) -> Finding:
    return Finding(Level.FAIL, subject, text, advice)


def as_text(findings: Sequence[Finding]) -> str:
    """One line each, and a last one that says how it stands."""
    lines = []
    for each in findings:
        advice = f" -> {each.advice}" if each.advice else ""
        lines.append(f"{each.level.value:4}  {each.subject:12} {each.text}{advice}")
    failed = sum(each.level is Level.FAIL for each in findings)
    warned = sum(each.level is Level.WARN for each in findings)
    verdict = "FacePass cannot run like this." if failed else "FacePass can run."
    lines.append(f"\n{verdict} {failed} to mend, {warned} to consider.")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects: level, subject, text, advice."""
    return json.dumps(
        [
            {
                "level": each.level.value,
                "subject": each.subject,
                "text": each.text,
                "advice": each.advice,
            }
            for each in findings
        ],
        indent=2,
        ensure_ascii=False,
    )
