"""Events in the Searcher's memory: what they take, and that nothing is missing."""

from facepass.v1 import searcher_pb2 as pb

from bench.figures import Bar, Figure
from bench.searches import Searches, recall, request_of
from bench.stage import Stage


def measure(stage: Stage, hot: Searches) -> list[Figure]:
    """Bring every event into memory; bytes a face by the server's account and by the system's."""
    probes, _ = stage.views("500")
    hot.ask(request_of(stage.events["other 0"], probes[0]))  # what the first search alone takes
    faces, memory = hot.server.metric("facepass_gallery_faces"), hot.server.memory_bytes
    for label in stage.sizes.events:
        hot.warm(stage.events[label], probes[0])
    held = hot.server.metric("facepass_gallery_faces")
    told = hot.server.metric("facepass_gallery_bytes") / held
    grown = (hot.server.memory_bytes - memory) / (held - faces)
    return [
        Figure("bytes_per_face_hot", "in memory: bytes a face", told, "B", Bar("<=", 1150)),
        Figure("rss_bytes_per_face", "in memory: growth of the process, a face", grown, "B"),
        _recall(stage, hot),
    ]


def _recall(stage: Stage, hot: Searches) -> Figure:
    values = []
    for label in stage.sizes.events:
        probes, wanted = stage.views(label)
        found = hot.found(stage.events[label], probes, pb.SEARCH_SOURCE_MEMORY)
        values.append(recall(found, wanted))
    note = "all faces at or above the threshold; the lowest of the events"
    spread = (min(values), max(values))
    return Figure("recall_hot", "in memory: recall", min(values), "", Bar(">=", 1.0), spread, note)
