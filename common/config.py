"""Settings that both servers share. Read once at start from `FACEPASS_*` variables, then passed
down."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
_HOST_PORT = r"([^\s:/]+|\[[^\s\]]+\]):\d{1,5}"
_EXAMPLES: list[object] = ["127.0.0.1:50051"]
Address = Annotated[
    str, Field(pattern=rf"^(unix:.+|{_HOST_PORT})$", title="host:port", examples=_EXAMPLES)
]
"""`host:port`, or `unix:path`."""
MetricsAddress = Annotated[
    str, Field(pattern=rf"^({_HOST_PORT})?$", title="host:port", examples=_EXAMPLES)
]
"""`host:port`, or empty."""
CollectorAddress = Annotated[
    str,
    Field(
        pattern=rf"^(https?://{_HOST_PORT})?$",
        title="http://host:port or https://host:port",
        examples=["http://127.0.0.1:4317"],
    ),
]
"""A URL without a path, or empty."""


class SettingsBlock(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DatabaseSettings(SettingsBlock):
    """Where the data is."""

    dsn: SecretStr = SecretStr("")
    """Postgres >= 16 with pgvector >= 0.8: `postgresql://user:password@host:5432/facepass`, of a
    plain role that is neither superuser nor owner; of several hosts (`@one,two/`), the one that
    takes writes. Empty: the standalone runs its own embedded Postgres; the separate servers refuse
    to start."""
    dsn_file: str = ""
    """File that holds `dsn`, in its place: what an orchestrator mounts as a secret."""
    migration_dsn: SecretStr = SecretStr("")
    """The same database as the role that owns the tables, for `facepass-server migrate`. Empty
    means `dsn`."""
    migration_dsn_file: str = ""
    """File that holds `migration_dsn`, in its place."""
    replica_dsn: SecretStr = SecretStr("")
    """Standby servers of the same database, for the query server's larger reads, with the role of
    `dsn`; one of several `host`s is taken at random. Empty: all is read where `dsn` says."""
    replica_dsn_file: str = ""
    """File that holds `replica_dsn`, in its place."""
    replica_wait_ms: float = Field(default=10.0, ge=0, le=10_000)
    """Longest wait for a replica to show what a search must see; then the primary is read."""
    pool_size: int = Field(default=10, ge=1, le=200)
    """Most connections of one server process, and as many to replicas."""
    acquire_timeout_s: float = Field(default=5.0, gt=0, le=300)
    """Longest wait for a free connection before a call is answered UNAVAILABLE."""
    statement_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    """Longest run of one statement."""


class EngineSettings(SettingsBlock):
    """What turns images into faces."""

    kind: Literal["auto", "onnx", "starter", "fake"] = "auto"
    """`onnx`: an InsightFace pack; `starter`: dlib, no download; `fake`: for tests. `auto`: `onnx`
    where a pack is named, else `starter`."""
    pack: str = ""
    """Name of an InsightFace pack (`buffalo_l`, `buffalo_s`, `antelopev2`) or the folder of one."""
    model_root: Path = Path("~/.insightface")
    """Folder that named packs are kept in, as `models/<name>` below it (InsightFace's own
    layout)."""
    accept_license: bool = False
    """Accept the licence of a named pack, so that a server may download it at start where it is
    absent."""
    providers: list[str] = Field(default_factory=list)
    """onnxruntime execution providers in order of preference, as a JSON list. Empty: TensorRT,
    CUDA, CPU, as far as they work."""
    detect_batch: int = Field(default=0, ge=0, le=64)
    """Most canvases of one run of a pack's detector. 0: by the provider."""
    embed_batch: int = Field(default=0, ge=0, le=256)
    """Most faces of one run of a pack's recogniser. 0: by the provider."""
    half_precision: bool = False
    """Run a pack's models in half precision, where their results agree with those in full (cosine
    at least 0.999, checked at start). For GPUs; a CPU gains nothing."""
    cache_dir: Path = Path("~/.cache/facepass")
    """Folder for what is made of a pack: TensorRT's engines, models in half precision."""
    shared_models: Literal["auto", "yes", "no"] = "auto"
    """Whether the workers share one copy of a pack's models, in a process of its own that runs
    them in batches over all their images. `auto`: where they run on a GPU."""
    workers: int = Field(default=0, ge=0, le=256)
    """Worker processes. 0: one per CPU core where they share models; else as a trial at start
    shows, one per CPU core without a trial, on a GPU up to four."""
    selfie_workers: int = Field(default=1, ge=0, le=64)
    """Further workers of the standalone, for selfies alone, so that these do not wait for a photo
    to be finished; those for photos then run at lower priority (nice 10). 0: none."""
    threads: int = Field(default=0, ge=0, le=256)
    """Threads of each copy of the models. 0: all cores for a shared one; else as the trial shows, 1
    where `workers` is set."""
    queue_size: int = Field(default=64, ge=1, le=10_000)
    """Photos that may wait for a worker before callers are made to wait; as many selfies before
    they are refused."""
    image_timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """Longest work on one image before its worker is replaced and the image answered FAILED."""
    worker_memory_bytes: int = Field(default=2048 * MIB, ge=0, le=1024**4)
    """Most memory of a worker beyond what its loaded models take (Linux). One that needs more is
    replaced, and its image answered FAILED. 0: any."""


class ImageLimits(SettingsBlock):
    """What images are accepted. Anything beyond is rejected with the reason before it is
    decoded."""

    max_photo_bytes: int = Field(default=32 * MIB, ge=1024, le=512 * MIB)
    """Largest photo to index."""
    max_probe_bytes: int = Field(default=16 * MIB, ge=1024, le=512 * MIB)
    """Largest image to search with."""
    max_pixels: int = Field(default=100_000_000, ge=10_000, le=1_000_000_000)
    """Most pixels of an image."""
    max_side: int = Field(default=30_000, ge=64, le=65_535)
    """Longest side of an image, in pixels."""
    min_side: int = Field(default=16, ge=1, le=1024)
    """Shortest side of an image that could hold a face, in pixels."""
    max_jpeg_scans: int = Field(default=100, ge=1, le=10_000)
    """Most scans of a progressive JPEG."""


class ServerSettings(SettingsBlock):
    """One gRPC server."""

    listen: Address
    """Address and port of the gRPC server. Port 0 takes any free one."""
    metrics_listen: MetricsAddress
    """Address and port of the Prometheus endpoint (`/metrics`). Empty means none."""
    processes: int = Field(default=1, ge=1, le=256)
    """Processes that serve this address together, each with workers, connections to the database
    and memory of its own (Linux); of `facepass-server indexer` and `searcher`. The workers are
    shared out among them where their number is not set. The first one's metrics are at
    `metrics_listen`, each other's at the next port."""
    max_connections: int = Field(default=1000, ge=1, le=1_000_000)
    """Most connections; further ones are closed at once."""
    connection_age_s: float = Field(default=0, ge=0, le=86_400)
    """Seconds after which a connection is given up for a new one, once its calls have ended: so
    that clients find servers that were added since. 0: never."""
    calls_per_connection: int = Field(default=100, ge=1, le=10_000)
    """Most calls of one connection at a time; its caller's gRPC holds further ones back."""
    idle_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Longest wait for a caller whose turn it is: to send its request, the next photo of a stream
    to which no answer is owed (or at least 64 KiB of it), or to read an answer."""
    shutdown_grace_s: float = Field(default=20.0, ge=0, le=3600)
    """How long calls in flight may take to finish after a stop was asked for."""
    shutdown_notice_s: float = Field(default=0.5, ge=0, le=300)
    """How long health says NOT_SERVING before calls are refused, and calls are refused before the
    port is closed. Behind a balancer that polls health: as long as it takes to look."""


class TlsSettings(SettingsBlock):
    """Encryption, of both servers. Files are read again when they change, without a restart."""

    certificate: str = ""
    """PEM file of the server's certificate with its chain. Empty: plain text, which a server
    accepts on a loopback address only."""
    key: str = ""
    """PEM file of the certificate's private key, which others must not be able to read."""
    client_ca: str = ""
    """PEM file of the authorities whose client certificates are asked for. Where there are no
    tokens, the certificate's common name is the caller, who may do everything. Empty: none is
    asked for."""
    insecure: bool = False
    """Speak plain text on any address, as behind a proxy that encrypts."""


class AuthSettings(SettingsBlock):
    """Tokens: who calls, and what they may do."""

    jwks: str = ""
    """Public keys of whoever issues the tokens (RS256, ES256, EdDSA): a JWKS file, or its `https`
    address. Empty: no such tokens."""
    secret_file: str = ""
    """File with the secret of HS256 tokens, at least 32 bytes that others must not be able to read,
    in place of `jwks`."""
    issuer: str = ""
    """`iss` of every token. Needed with `jwks` and `secret_file`."""
    audience: str = "facepass"
    """`aud` of every token, or one of several that it names."""
    leeway_s: float = Field(default=10.0, ge=0, le=300)
    """How far clocks may differ: for so long a token counts before its time and after it."""
    refresh_s: float = Field(default=300.0, ge=30, le=86_400)
    """Seconds between looks at the keys. An unknown key is looked for at once, at most every
    30 s."""
    none: bool = False
    """Let anyone do everything, on any address. Without it, a server that listens beyond loopback
    needs tokens or client certificates."""
    public_health: bool = True
    """Answer health checks without a token."""
    public_reflection: bool = False
    """Answer reflection without a token."""


class AuditSettings(SettingsBlock):
    """The record of who did what."""

    table: bool = True
    """Add a row a call to the table `audit` of the database."""
    file: str = ""
    """File to append a JSON line a call to; `-`: standard output. Empty: none."""
    when_stuck: Literal["refuse", "lose"] = "refuse"
    """What to do with calls once `buffer_lines` wait because the table or the file takes none:
    `refuse` them (UNAVAILABLE), or answer them and `lose` their lines, counted and logged."""
    buffer_lines: int = Field(default=10_000, ge=1, le=10_000_000)
    """Most lines that wait in memory to be written, about 1 KiB each."""
    peer: bool = False
    """Record the caller's network address too."""
    keep_days: int = Field(default=365, ge=0, le=36_500)
    """Days after which `facepass-server audit prune` removes rows. 0: never."""


class TemplateSettings(SettingsBlock):
    """How templates are kept."""

    key_file: str = ""
    """File of the keys by which each event's templates are rotated into a space of its own, a line
    each of 64 hexadecimal digits, for all servers of a database the same: the first is for new
    events, the others keep older ones readable. Without its key, an event's templates are lost.
    Empty: the standalone makes one in its data folder; servers with a Postgres of yours leave
    templates as engines make them."""


class QuotaSettings(SettingsBlock):
    """What one subject, and all callers of one event, may use up; 0 means any amount."""

    searches_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Calls of the Searcher by one subject."""
    photos_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Photos that one subject indexes; those that are stored already do not count."""
    megabytes_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Millions of bytes of photos and searches of one subject."""
    megapixels_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Millions of pixels that are decoded for one subject, which is what takes the time."""
    event_searches_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Calls of the Searcher about one event, whoever makes them."""
    event_photos_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Photos indexed into one event."""
    event_megabytes_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Millions of bytes of photos and searches of one event."""
    event_megapixels_per_minute: float = Field(default=0, ge=0, le=1e9)
    """Millions of pixels that are decoded for one event."""
    burst_s: float = Field(default=60.0, gt=0, le=86_400)
    """So many seconds' worth of each may come at once, after as long a pause."""
    shared: bool = False
    """Count together what all servers of the database do, at the cost of a statement a call; else
    each server counts for itself."""
    people_per_day: int = Field(default=0, ge=0, le=1000)
    """Different people that one subject may look up in one event within a day, counted by each
    query server for itself. Only where each guest has a token of their own."""


class TraceSettings(SettingsBlock):
    """Traces of calls, for an OpenTelemetry collector."""

    endpoint: CollectorAddress = ""
    """Collector that takes OTLP through gRPC: `http://host:4317` for plain text,
    `https://host:4317` for TLS. Empty: nothing is traced. Needs the extra `tracing`, which the
    images have."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of the traces that begin here which are recorded. Of a call that brings a
    `traceparent`, its caller has decided."""
    ca: str = ""
    """PEM file of the authorities of the collector's certificate. Empty: gRPC's own list."""
    headers_file: str = ""
    """File of what to send along, such as a token: `authorization: Bearer ...`, a line each. Only
    by TLS, or to this machine."""


class LogSettings(SettingsBlock):
    """Logs are JSON lines on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""


class CommonSettings(BaseSettings):
    """What every FacePass server reads."""

    model_config = SettingsConfigDict(
        env_prefix="FACEPASS_",
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    engine: EngineSettings = EngineSettings()
    limits: ImageLimits = ImageLimits()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    audit: AuditSettings = AuditSettings()
    templates: TemplateSettings = TemplateSettings()
    quota: QuotaSettings = QuotaSettings()
    traces: TraceSettings = TraceSettings()
    log: LogSettings = LogSettings()
