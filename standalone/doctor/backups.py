"""The doctor's look at backups: whether changes leave the machine, how old the newest copy is."""

from collections.abc import Iterator
from datetime import UTC, datetime

from common.db.log_archive import LogArchive
from standalone.backup.archiving import Archiving
from standalone.doctor.finding import Finding, ok, warn

_HOUR_S = 3600.0


def check_archive(found: LogArchive) -> Finding:
    """The archive of a Postgres' log."""
    if not found.archives:
        return warn(
            "archive",
            "archive_mode is off: with Postgres' disk, all that came since the last backup is lost",
            "docs/backup.md says how to switch it on",
        )
    if found.behind:
        return warn(
            "archive",
            f"nothing was archived for {_hours(found.waiting_s)}, and {found.files} files wait",
            "see Postgres' log for why; what waits fills its disk",
        )
    return ok("archive", "every change is archived")


def check_embedded(archive: Archiving | None, found: LogArchive) -> Iterator[Finding]:
    """Backups of the embedded Postgres. archive: what the settings say of them."""
    if archive is None:
        yield warn(
            "backup",
            "none are made",
            "set FACEPASS_BACKUP__FOLDER, and FACEPASS_ERASURE__BACKUP_RETENTION_DAYS with it; "
            "docs/backup.md says more",
        )
        return
    yield check_archive(found)
    yield _check_newest(archive)


def _check_newest(archive: Archiving) -> Finding:
    advice = "make one: facepass-server backup"
    try:
        begun = archive.newest()
    except OSError as error:
        return warn("backup", f"cannot look at {archive.folder.root}: {error}", advice)
    if begun is None:
        return warn("backup", f"there is no whole one in {archive.folder.root}", advice)
    age_s = (datetime.now(UTC) - begun).total_seconds()
    text = f"the newest base backup is {_hours(age_s)} old"
    return warn("backup", text, advice) if age_s > archive.max_age_s else ok("backup", text)


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR_S:.1f} hours"
