"""Settings that both servers share. Read once at start from `FACEPASS_*` variables, then passed
down."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
Address = Annotated[str, Field(pattern=r"^(unix:.+|[^\s:]+:\d{1,5}|\[[^\s\]]+\]:\d{1,5})$")]
"""`host:port`, or `unix:path`."""
MetricsAddress = Annotated[str, Field(pattern=r"^([^\s:]+:\d{1,5}|\[[^\s\]]+\]:\d{1,5})?$")]
"""`host:port`, or empty."""


class SettingsBlock(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DatabaseSettings(SettingsBlock):
    """Where the data is."""

    dsn: SecretStr = SecretStr("")
    """Postgres >= 16 with pgvector >= 0.8: `postgresql://user:password@host:5432/facepass`. Empty:
    the standalone runs its own embedded Postgres; the separate servers refuse to start."""
    dsn_file: str = ""
    """File that holds `dsn`, in its place: what an orchestrator mounts as a secret."""
    migration_dsn: SecretStr = SecretStr("")
    """The same database as a role that owns the schema, for `facepass-server migrate`. Empty means
    `dsn`."""
    migration_dsn_file: str = ""
    """File that holds `migration_dsn`, in its place."""
    pool_size: int = Field(default=10, ge=1, le=200)
    """Most connections of one server process."""
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
    max_connections: int = Field(default=1000, ge=1, le=1_000_000)
    """Most connections; further ones are closed at once."""
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
    log: LogSettings = LogSettings()
