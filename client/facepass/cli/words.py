"""The wire's reasons and advice, in words for people."""

from collections.abc import Sequence

from facepass.report import counted
from facepass.v1 import searcher_pb2, types_pb2

_ADVICE = {
    searcher_pb2.SELFIE_ADVICE_NO_FACE: "No face was found: show the whole face.",
    searcher_pb2.SELFIE_ADVICE_SEVERAL_FACES: "There are several faces: be alone in the picture.",
    searcher_pb2.SELFIE_ADVICE_COME_CLOSER: "The face is small: come closer.",
    searcher_pb2.SELFIE_ADVICE_CUT_OFF: "The face is cut off: move back, or into the middle.",
    searcher_pb2.SELFIE_ADVICE_TOO_DARK: "It is too dark: find more light.",
    searcher_pb2.SELFIE_ADVICE_TOO_BRIGHT: "It is too bright: avoid direct light.",
    searcher_pb2.SELFIE_ADVICE_BLURRED: "It is blurred: hold still.",
    searcher_pb2.SELFIE_ADVICE_LOOK_AT_CAMERA: "The head is turned: look into the camera.",
    searcher_pb2.SELFIE_ADVICE_UNCOVER_FACE: "The face is hard to see: take off what covers it.",
}
_FACE = {
    types_pb2.FACE_REASON_LOW_SHARPNESS: "too blurred",
    types_pb2.FACE_REASON_EXTREME_POSE: "turned too far",
    types_pb2.FACE_REASON_SMALL_BOX: "too small",
    types_pb2.FACE_REASON_LOW_CONFIDENCE: "perhaps no face",
    types_pb2.FACE_REASON_LOW_BRIGHTNESS: "too dark",
    types_pb2.FACE_REASON_HIGH_BRIGHTNESS: "too bright",
    types_pb2.FACE_REASON_EXCEEDS_MAX_FACES: "more faces than are indexed of one photo",
    types_pb2.FACE_REASON_NOT_CHOSEN: "another face was chosen",
    types_pb2.FACE_REASON_SUPPRESSED: "erased, and to be left out",
}
_TIERS = {
    searcher_pb2.MATCH_TIER_CONFIDENT: "confident",
    searcher_pb2.MATCH_TIER_POSSIBLE: "possible",
}


def advice(given: Sequence[searcher_pb2.SelfieAdvice]) -> list[str]:
    """Return each piece of advice as a sentence."""
    return [
        _ADVICE.get(each) or f"Advice {each} (update this command to read it)." for each in given
    ]


def face_reasons(given: Sequence[types_pb2.FaceReason]) -> str:
    """Return why a face was left out, in a few words."""
    return ", ".join(_FACE.get(each) or f"reason {each}" for each in given)


def tier(given: searcher_pb2.MatchTier) -> str:
    """Return how sure a match is, in one word."""
    return _TIERS.get(given, "unsure")


def probe_lines(
    name: str, result: searcher_pb2.ProbeResult, *, choosable: bool = True
) -> list[str]:
    """Say what is worth knowing of one probe; nothing for a good one.

    choosable: mention the option that chooses another face.
    """
    if not result.usable:
        lines = [f"{name} cannot be used."]
        return lines + [f"  {sentence}" for sentence in advice(result.advice)]
    lines = []
    if len(result.faces) > 1:
        which = "the largest" if result.face_index == 0 else f"number {result.face_index}"
        shows = f"{name} shows {counted(len(result.faces), 'face')}; {which} was used."
        choice = f" --face-index 0 to {len(result.faces) - 1} chooses (0 is the largest)."
        lines.append(shows + choice if choosable else shows)
    several = searcher_pb2.SELFIE_ADVICE_SEVERAL_FACES
    lines += [f"{name}: {each}" for each in advice([a for a in result.advice if a != several])]
    return lines


def answer_lines(answer: searcher_pb2.SearchResponse) -> list[str]:
    """Say what is worth knowing of the matches; nothing where they are all, and no strangers."""
    lines = []
    strangers = round(answer.expected_false_matches)
    if answer.total_matches and strangers:
        expected = counted(strangers, "stranger")
        lines.append(f"Expect about {expected} from similarity {answer.min_similarity:.2f} on.")
    if answer.source == searcher_pb2.SEARCH_SOURCE_GRAPH:
        lines.append("Approximate, by the event's graph; --exact compares every face.")
    return lines
