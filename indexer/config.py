"""Settings of the indexing server."""

from pydantic import Field

from common.config import (
    MIB,
    Address,
    CommonSettings,
    MetricsAddress,
    ServerSettings,
    SettingsBlock,
)


class IndexerServerSettings(ServerSettings):
    """The indexing server."""

    listen: Address = "127.0.0.1:50051"
    """Address and port of the gRPC server. Port 0 takes any free one."""
    metrics_listen: MetricsAddress = "127.0.0.1:9101"
    """Address and port of the Prometheus endpoint (`/metrics`). Empty means none."""
    photos_per_stream: int = Field(default=8, ge=1, le=1024)
    """Photos of one stream that are worked on at a time; the caller is made to wait beyond."""
    max_streams: int = Field(default=64, ge=1, le=10_000)
    """Most streams of photos at a time; further ones are refused at once, with when to try
    again."""
    max_photos: int = Field(default=0, ge=0, le=10_000)
    """Most `IndexPhoto` calls at a time, beside the streams. 0: four for each worker, at least
    twelve."""
    max_admin: int = Field(default=64, ge=1, le=10_000)
    """Most of all other calls at a time, and as many that wait for an operation."""
    stream_bytes: int = Field(default=128 * MIB, ge=1024, le=1024**4)
    """Most memory for one stream's photos until they are answered; the caller is made to wait
    beyond. One larger photo goes alone."""
    photo_bytes: int = Field(default=512 * MIB, ge=1024, le=1024**4)
    """Most memory for all callers' photos until they are answered: beyond, streams are made to
    wait and `IndexPhoto` is refused. One larger photo goes alone."""
    max_faces: int = Field(default=500, ge=1, le=10_000)
    """Most faces that are indexed of one photo, largest first."""


class StorageSettings(SettingsBlock):
    """Room for the data. Photos are refused before the database suffers, until there is clearly
    more again; searches and deletions go on."""

    folder: str = ""
    """A folder on the volume that Postgres' data is on, to watch its free space. The standalone
    takes its data folder by itself; with a Postgres elsewhere, empty: nothing is watched."""
    min_free_share: float = Field(default=0.05, ge=0, le=0.9)
    """Share of the volume that must be free for photos to be taken. Once refused, they are taken
    again from 0.05 more. 0: any."""
    min_free_bytes: int = Field(default=512 * MIB, ge=0, le=1024**5)
    """Bytes of the volume that must be free for photos to be taken, where that is more than the
    share. 0: any."""
    max_database_bytes: int = Field(default=0, ge=0, le=1024**5)
    """Size of the database from which on photos are refused, until it is 5 % below. 0: no limit."""


class PromotionSettings(SettingsBlock):
    """Graphs of large events."""

    enabled: bool = True
    """Build graphs on this server; one server that does is enough for all."""
    hnsw_min_faces: int = Field(default=20_000, ge=1, le=2_000_000_000)
    """Faces from which an event gets a graph (HNSW) of its own, and below half of which it loses it
    again. Below this, comparing every face takes some milliseconds, and is exact."""
    quiet_s: float = Field(default=60.0, ge=0, le=86_400)
    """Seconds without new or deleted faces after which a graph is built or renewed."""
    fold_share: float = Field(default=0.1, gt=0, le=10)
    """The graph is renewed once the faces that came since are more than this share of those in
    it, and at least 500."""
    ef_construction: int = Field(default=100, ge=48, le=1000)
    """How carefully graphs are built (HNSW's ef_construction): more takes longer and finds more.
    At least twice the links of a face, of which there are 24."""
    target_recall: float = Field(default=0.995, gt=0, le=1)
    """Share of the faces above the threshold that a graph is to find. Where measurements say less,
    graphs are searched more widely."""
    recall_interval_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds between measurements; each looks at one event, in turn."""
    interval_s: float = Field(default=10.0, gt=0, le=3600)
    """Seconds between looks for events that need a graph."""


class RetentionSettings(SettingsBlock):
    """Removal of events that have expired."""

    interval_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds between looks for events past their `expire_time`, which nobody sees from then on
    anyway."""


class ErasureSettings(SettingsBlock):
    """Removal for good of what was deleted."""

    interval_s: float = Field(default=300.0, gt=0, le=86_400)
    """Seconds between rounds in which the database's files are cleared of removed templates. Each
    that finds some ends with a checkpoint."""
    backup_retention_days: int = Field(default=0, ge=0, le=36_500)
    """Days that backups of the database are kept, for the receipts' `backup_time`. 0: there are
    none."""
    journal: str = ""
    """File to which every erasure is appended, by numbers, before it is acknowledged; to be kept
    beside the backups, so that one that is restored can be told. Empty: none. The standalone has
    its own in `FACEPASS_BACKUP__FOLDER`."""


class BackupSettings(SettingsBlock):
    """Backups of the standalone's embedded Postgres."""

    folder: str = ""
    """Folder that takes them: one of its own, on another disk. All changes are archived there as
    they come, and base backups are made. Empty: none. How long they are kept is
    `FACEPASS_ERASURE__BACKUP_RETENTION_DAYS`, which must be set too."""
    every_hours: float = Field(default=24.0, ge=0, le=8760)
    """Hours between base backups, at most half of how long they are kept. 0: only the first is made
    by itself."""
    archive_timeout_s: int = Field(default=60, ge=1, le=3600)
    """Longest wait before changes are archived: what may be lost with the data's disk."""


class IndexerSettings(CommonSettings):
    """Everything that the indexing server reads."""

    indexer: IndexerServerSettings = IndexerServerSettings()
    promotion: PromotionSettings = PromotionSettings()
    storage: StorageSettings = StorageSettings()
    retention: RetentionSettings = RetentionSettings()
    erasure: ErasureSettings = ErasureSettings()
    backup: BackupSettings = BackupSettings()
