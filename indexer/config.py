"""Settings of the indexing server."""

from pydantic import Field

from common.config import CommonSettings, ServerSettings


class IndexerServerSettings(ServerSettings):
    """The indexing server."""

    listen: str = "127.0.0.1:50051"
    """Address and port of the gRPC server. Port 0 takes any free one."""
    metrics_listen: str = "127.0.0.1:9101"
    """Address and port of the Prometheus endpoint (`/metrics`). Empty means none."""
    photos_per_stream: int = Field(default=8, ge=1, le=1024)
    """Photos of one stream that are worked on at a time; the caller is made to wait beyond."""
    max_faces: int = Field(default=500, ge=1, le=10_000)
    """Most faces that are indexed of one photo, largest first."""


class IndexerSettings(CommonSettings):
    """Everything that the indexing server reads."""

    indexer: IndexerServerSettings = IndexerServerSettings()
