"""Settings of the query server."""

from pydantic import Field

from common.config import (
    MIB,
    Address,
    CommonSettings,
    MetricsAddress,
    ServerSettings,
    SettingsBlock,
)


class SearcherServerSettings(ServerSettings):
    """The query server."""

    listen: Address = "127.0.0.1:50052"
    """Address and port of the gRPC server. Port 0 takes any free one."""
    metrics_listen: MetricsAddress = "127.0.0.1:9102"
    """Address and port of the Prometheus endpoint (`/metrics`). Empty means none."""
    max_searches: int = Field(default=0, ge=0, le=10_000)
    """Most calls at a time; further ones are refused at once, with when to try again. More make
    each wait longer and are not answered faster. 0: four for each worker, at least twelve."""
    max_probes: int = Field(default=8, ge=1, le=64)
    """Most probes of one search."""
    max_faces: int = Field(default=50, ge=1, le=1000)
    """Most faces of one probe that are looked at, largest first."""


class GallerySettings(SettingsBlock):
    """Galleries in the query server's memory."""

    memory_bytes: int = Field(default=1024 * MIB, ge=0, le=1024**4)
    """Most memory for templates of events that were searched lately: about half a KiB a face at 512
    dimensions, and up to a quarter more for what was found of them. Events beyond are searched in
    the database. 0: none is kept in memory."""


class SearcherSettings(CommonSettings):
    """Everything that the query server reads."""

    searcher: SearcherServerSettings = SearcherServerSettings()
    gallery: GallerySettings = GallerySettings()
