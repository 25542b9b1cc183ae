"""All metrics, in one list. No label has unbounded values: no event, no photo, no subject."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)

_RPC_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
_PHOTO_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10)
_BUILD_BUCKETS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_RECALL_BUCKETS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1)
_ERASURE_BUCKETS = (1, 10, 60, 120, 300, 600, 1800, 3600, 14_400, 43_200, 86_400)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.build = Info("facepass_build", "What runs", registry=registry)
        self.build.info(_build())
        self.ready = Gauge(
            "facepass_ready",
            "Whether calls would succeed (1) or not (0), as health says",
            registry=registry,
        )
        self.rpcs = Counter("facepass_rpcs", "Calls served", ["method", "code"], registry=registry)
        self.rpc_seconds = Histogram(
            "facepass_rpc_seconds",
            "Time to serve a call",
            ["method"],
            buckets=_RPC_BUCKETS,
            registry=registry,
        )
        self.rpcs_in_flight = Gauge(
            "facepass_rpcs_in_flight", "Calls being served", ["method"], registry=registry
        )
        self.calls_admitted = Gauge(
            "facepass_calls_admitted",
            "Calls that count towards a limit, by the limit's name",
            ["limit"],
            registry=registry,
        )
        self.calls_limit = Gauge(
            "facepass_calls_limit",
            "Most calls that are admitted at a time, by the limit's name",
            ["limit"],
            registry=registry,
        )
        self.spans = Counter(
            "facepass_spans",
            "Spans of traces, by whether the collector took them or why not",
            ["outcome"],
            registry=registry,
        )
        self.refusals = Counter(
            "facepass_refusals",
            "Calls refused or ended, by the limit that they count towards and the reason",
            ["limit", "reason"],
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "facepass_certificate_expiry_seconds",
            "When the server's certificate expires, in seconds since 1970; 0 without one",
            registry=registry,
        )
        self.certificate_failures = Counter(
            "facepass_certificate_failures",
            "Changed certificate files that could not be used; the last good ones stay",
            registry=registry,
        )
        self.key_fetches = Counter(
            "facepass_key_fetches",
            "Looks at the keys of tokens, by outcome",
            ["outcome"],
            registry=registry,
        )
        self.audit_lines = Counter(
            "facepass_audit_lines",
            "Lines of the audit, by where to and whether they were written or lost",
            ["sink", "outcome"],
            registry=registry,
        )
        self.audit_waiting = Gauge(
            "facepass_audit_waiting",
            "Lines of the audit that wait to be written",
            ["sink"],
            registry=registry,
        )
        self.quota_refusals = Counter(
            "facepass_quota_refusals",
            "Calls refused, and photos made to wait, by the quota that was used up",
            ["quota"],
            registry=registry,
        )
        self.photo_bytes = Gauge(
            "facepass_photo_bytes",
            "Memory set aside for photos until they are answered, in bytes",
            registry=registry,
        )
        self.database_available = Gauge(
            "facepass_database_available",
            "Whether the database answered when it was last asked (1) or not (0)",
            registry=registry,
        )
        self.database_wait_seconds = Histogram(
            "facepass_database_wait_seconds",
            "Time that a call waited for a connection to the database",
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self.replica_reads = Counter(
            "facepass_replica_reads",
            "Reads meant for a replica, by what came of it: read there, or on the primary instead",
            ["outcome"],
            registry=registry,
        )
        self.replica_lag_seconds = Gauge(
            "facepass_replica_lag_seconds",
            "How far the replica that was read last was behind the primary at least, in seconds",
            registry=registry,
        )
        self.wall_stands = Gauge(
            "facepass_wall_stands",
            "Whether the database held events apart when it was last looked at (1) or not (0)",
            registry=registry,
        )
        # Nobody has seen it open, and no server serves before it has looked.
        self.wall_stands.set(1)
        self.storage_free_bytes = Gauge(
            "facepass_storage_free_bytes",
            "Space left on the volume of the data, in bytes; 0 where it is not watched",
            registry=registry,
        )
        self.storage_bytes = Gauge(
            "facepass_storage_bytes",
            "Size of the volume of the data, in bytes; 0 where it is not watched",
            registry=registry,
        )
        self.database_bytes = Gauge(
            "facepass_database_bytes",
            "Size of the database, in bytes; 0 where it is not limited",
            registry=registry,
        )
        self.ingest_refused = Gauge(
            "facepass_ingest_refused",
            "Whether photos are refused for want of space (1) or not (0)",
            registry=registry,
        )
        self.photos = Counter(
            "facepass_photos", "Photos answered, by outcome", ["state"], registry=registry
        )
        self.photo_seconds = Histogram(
            "facepass_photo_seconds",
            "Time from the last byte of a photo to its answer, by outcome",
            ["state"],
            buckets=_PHOTO_BUCKETS,
            registry=registry,
        )
        self.photos_pending = Gauge(
            "facepass_photos_pending", "Photos being worked on", registry=registry
        )
        self.faces = Counter("facepass_faces_indexed", "Templates stored", registry=registry)
        self.faces_unindexed = Counter(
            "facepass_faces_unindexed",
            "Faces seen but not indexed, by reason",
            ["reason"],
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "facepass_stage_seconds",
            "Time of one stage of an image or a search",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.commit_photos = Histogram(
            "facepass_commit_photos",
            "Photos committed together",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "facepass_commit_seconds",
            "Time of one commit, whatever its photos waited for it",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.matches = Histogram(
            "facepass_search_matches",
            "Matches of a search, all pages",
            buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
            registry=registry,
        )
        self.probes = Counter(
            "facepass_probes",
            "Probes, by whether they could be used",
            ["usable"],
            registry=registry,
        )
        self.searches = Counter(
            "facepass_searches",
            "Searches, by where the answer came from",
            ["source"],
            registry=registry,
        )
        self.gallery_searches = Counter(
            "facepass_gallery_searches",
            "Searches, by whether the event's gallery was in memory",
            ["result"],
            registry=registry,
        )
        self.gallery_fills = Counter(
            "facepass_gallery_fills",
            "Galleries read into memory, by outcome",
            ["outcome"],
            registry=registry,
        )
        self.gallery_fill_seconds = Histogram(
            "facepass_gallery_fill_seconds",
            "Time to read a gallery into memory",
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self.gallery_evictions = Counter(
            "facepass_gallery_evictions",
            "Galleries dropped from memory, by reason",
            ["reason"],
            registry=registry,
        )
        self.gallery_events = Gauge(
            "facepass_gallery_events", "Galleries in memory", registry=registry
        )
        self.gallery_faces = Gauge(
            "facepass_gallery_faces", "Templates in memory", registry=registry
        )
        self.gallery_bytes = Gauge(
            "facepass_gallery_bytes", "Memory of the galleries, in bytes", registry=registry
        )
        self.promotions = Counter(
            "facepass_promotions",
            "Work on the graphs of events, by outcome",
            ["outcome"],
            registry=registry,
        )
        self.promotions_open = Gauge(
            "facepass_promotions_open",
            "Work on the graphs of events that is not done, by whether a server has it",
            ["state"],
            registry=registry,
        )
        self.promotion_seconds = Histogram(
            "facepass_promotion_seconds",
            "Time of one phase of building an event's graph",
            ["phase"],
            buckets=_BUILD_BUCKETS,
            registry=registry,
        )
        self.relations = Gauge(
            "facepass_relations", "Events' own tables, by state", ["state"], registry=registry
        )
        self.events = Gauge("facepass_events", "Events that are stored", registry=registry)
        self.faces_stored = Gauge(
            "facepass_faces_stored",
            "Templates that are stored, in the shared table or in events' own, to within a minute",
            ["tier"],
            registry=registry,
        )
        self.index_recall = Histogram(
            "facepass_index_recall",
            "Share of the faces above the threshold that a graph finds, as measured",
            buckets=_RECALL_BUCKETS,
            registry=registry,
        )
        self.index_recall_target = Gauge(
            "facepass_index_recall_target",
            "Share of the faces above the threshold that graphs are to find",
            registry=registry,
        )
        self.index_recall_below_target = Counter(
            "facepass_index_recall_below_target",
            "Measurements that found a graph below the target at its widest search",
            registry=registry,
        )
        self.events_expired = Counter(
            "facepass_events_expired",
            "Events removed after their expire_time",
            registry=registry,
        )
        self.erasure_seconds = Histogram(
            "facepass_erasure_seconds",
            "Time from an erasure until no file of the database has it, by kind",
            ["kind"],
            buckets=_ERASURE_BUCKETS,
            registry=registry,
        )
        self.erasure_pages = Counter(
            "facepass_erasure_pages",
            "Pages that were overwritten after templates were removed from them",
            registry=registry,
        )
        self.erasure_backlog_pages = Gauge(
            "facepass_erasure_backlog_pages",
            "Pages that are still to be overwritten",
            registry=registry,
        )
        self.erasure_backlog_seconds = Gauge(
            "facepass_erasure_backlog_seconds",
            "Age of the oldest erasure that some file of the database still has; 0 without one",
            registry=registry,
        )
        self.archive_on = Gauge(
            "facepass_archive_on",
            "Whether Postgres archives every change (1) or not (0)",
            registry=registry,
        )
        self.archive_waiting_files = Gauge(
            "facepass_archive_waiting_files",
            "Finished files of Postgres' log that are not archived yet",
            registry=registry,
        )
        self.archive_waiting_seconds = Gauge(
            "facepass_archive_waiting_seconds",
            "Time since anything was archived while something waits; 0 while nothing does",
            registry=registry,
        )
        self.backup_time = Gauge(
            "facepass_backup_time_seconds",
            "When the newest base backup was begun, in seconds since 1970; 0 without one",
            registry=registry,
        )
        self.backup_max_age = Gauge(
            "facepass_backup_max_age_seconds",
            "Age from which the newest base backup is too old; 0 where FacePass makes none",
            registry=registry,
        )
        self.backup_failures = Counter(
            "facepass_backup_failures",
            "Rounds in which backups could not be made or removed",
            registry=registry,
        )
        self.index_under_returns = Counter(
            "facepass_index_under_returns",
            "Measured searches of which a graph came up with fewer faces than asked for",
            registry=registry,
        )


def _build() -> dict[str, str]:
    return {
        "version": version("facepass-server"),
        "python": platform.python_version(),
        "onnxruntime": _runtime(),
    }


def _runtime() -> str:
    """The version of onnxruntime, whose two distributions share a name; empty where there is
    none."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        with suppress(PackageNotFoundError):
            return version(name)
    return ""
