"""FacePass: find a person in the photos of an event.

    import facepass
    from pathlib import Path

    with facepass.Client() as client:
        client.create_event("party")
        for result in client.index_photos("party", facepass.folder("photos")):
            print(result.photo_id, result.state)
        for match in client.search("party", Path("selfie.jpg")).matches:
            print(match.photo, match.similarity)

`AsyncClient` is the same for asyncio. The messages are those of `facepass.v1`.
"""

from facepass.aio import AsyncClient
from facepass.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FacePassError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    from_status,
)
from facepass.options import EventFields, IndexOptions, SearchOptions
from facepass.photos import Folder, PhotoSource, folder, photo_id_of
from facepass.probes import ProbeLike, probe
from facepass.security import Security
from facepass.sync import Client
from facepass.version import __version__
from facepass.window import UploadLimits

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "EventFields",
    "FacePassError",
    "FailedPrecondition",
    "Folder",
    "IndexOptions",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "PhotoSource",
    "ProbeLike",
    "ResourceExhausted",
    "SearchOptions",
    "Security",
    "Unauthenticated",
    "Unavailable",
    "UploadLimits",
    "__version__",
    "folder",
    "from_status",
    "photo_id_of",
    "probe",
]
