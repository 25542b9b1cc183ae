"""The commands `facepass-server backup`, `restore` and `verify`."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from common.config import TemplateSettings
from common.errors import SetupError
from common.templates.keys import TemplateKeys
from indexer.config import IndexerSettings
from indexer.erasure.journal import Entry, ErasureJournal
from standalone.backup.archiving import Archiving, archiving
from standalone.backup.backup_folder import BackupFolder
from standalone.backup.base_backup import RECORD, BaseBackup
from standalone.backup.making import make_backup
from standalone.backup.restoring import reapply, restore
from standalone.config import read_settings
from standalone.data_dir import DataDir, write_private
from standalone.embedded import EmbeddedPostgres
from standalone.moment import moment

BACKUP = """\
Make a base backup of the standalone's data in FACEPASS_BACKUP__FOLDER, beside the archive of all
changes since; the standalone may run, and does so by itself every FACEPASS_BACKUP__EVERY_HOURS. The
backup is checked, and what is older than FACEPASS_ERASURE__BACKUP_RETENTION_DAYS is removed."""
RESTORE = """\
Restore a data folder from a backup, or from the newest of a folder of them, to the last archived
change or to a TIME (ISO 8601, in UTC where it does not say). All is checked first, and erasures
that were made since are made again; until that is done, no standalone starts on the folder."""
VERIFY = """\
Check every byte of a backup, or of all in a folder, and of the changes archived since, against the
SHA-256 and checksums that were written with them; say what is wrong."""
REAPPLY = """\
Make erasures again in the Postgres of FACEPASS_DATABASE__DSN that was restored to a time before
them, as the journals of its Indexers tell. Before any server is started on it."""
_MB = 1_000_000


def add_backup(
    parser: argparse.ArgumentParser, add_data_dir: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Make `parser` that of `backup`."""
    parser.set_defaults(command=_backup)
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="instead of FACEPASS_BACKUP__FOLDER"
    )
    add_data_dir(parser)


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Make `parser` that of `restore`."""
    parser.set_defaults(command=_restore)
    parser.add_argument("source", type=Path, metavar="BACKUP", help="one, or a folder of them")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="the new data folder"
    )
    parser.add_argument(
        "--until", type=_until, metavar="TIME", help="`latest` (the default), or when"
    )
    parser.add_argument(
        "--template-keys", type=Path, metavar="FILE", help="template_keys of the lost data folder"
    )


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Make `parser` that of `verify`."""
    parser.set_defaults(command=_verify)
    parser.add_argument("source", type=Path, metavar="BACKUP", help="one, or a folder of them")


def add_reapply(parser: argparse.ArgumentParser) -> None:
    """Make `parser` that of `reapply`."""
    parser.set_defaults(command=_reapply)
    parser.add_argument(
        "journal", type=Path, nargs="+", metavar="JOURNAL", help="FACEPASS_ERASURE__JOURNAL of each"
    )


def _until(text: str) -> datetime | None:
    return None if text == "latest" else moment(text)


def _backup(options: argparse.Namespace) -> int:
    archive = archiving(read_settings(IndexerSettings), options.folder)
    if archive is None:
        raise SetupError("FACEPASS_BACKUP__FOLDER is not set; set it, or say --folder")
    data = DataDir.at(options.data_dir)
    if not data.cluster.exists():
        raise SetupError(f"there is no data in {data.root}")
    with _running(data, archive) as postgres:
        made = make_backup(postgres, data, archive, _show)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{made.folder}  {_megabytes(made.record.size_bytes)}, checked")
    if data.template_keys.exists():
        _say(f"Without {data.template_keys} it cannot be searched: keep a copy elsewhere.")
    return 0


@contextmanager
def _running(data: DataDir, archive: Archiving) -> Iterator[EmbeddedPostgres]:
    """The embedded Postgres, started for the while where it does not run."""
    postgres = EmbeddedPostgres(data.root, archive)
    if not data.in_use:
        with postgres:
            yield postgres
        return
    if archive.folder.begun_for(data) is None:
        raise SetupError(
            f"what runs on {data.root} does not archive to {archive.folder.root}: start it with "
            f"FACEPASS_BACKUP__FOLDER={archive.folder.root}"
        )
    postgres.attach()
    yield postgres


def _show(done: int, of: int) -> None:
    share = min(100, 100 * done // max(of, 1))
    if sys.stderr.isatty():
        print(f"\r{share:3} % of {_megabytes(of)}", end="", file=sys.stderr, flush=True)


def _restore(options: argparse.Namespace) -> int:
    keys = _keys(options.template_keys)
    restored = restore(options.source, options.to, options.until, _say)
    if keys:
        write_private(DataDir.at(options.to).template_keys, keys)
    if restored.last_change:
        print(f"The last change in it is of {restored.last_change}.")
    _tell(restored.erased)
    if not keys:
        print(f"Before the start, put template_keys of the lost data folder into {options.to}.")
    print(f"Restored. Start it with: facepass-server standalone --data-dir {options.to}")
    return 0


def _keys(path: Path | None) -> str | None:
    if path is None:
        return None
    TemplateKeys.of(TemplateSettings(key_file=str(path)))
    return path.expanduser().read_text("ascii")


def _reapply(options: argparse.Namespace) -> int:
    database = read_settings(IndexerSettings).database
    if not database.dsn.get_secret_value():
        raise SetupError("FACEPASS_DATABASE__DSN is not set; `restore` does this by itself")
    entries = [entry for path in options.journal for entry in ErasureJournal(path).read()]
    _tell(asyncio.run(reapply(database, entries)))
    return 0


def _tell(erased: Sequence[Entry]) -> None:
    print(f"{len(erased)} erasures were missing and were made again.")
    for entry in erased:
        if entry.suppress_until is not None:
            print(
                f"erasures/{entry.erasure_id} of events/{entry.event} was to keep a person out "
                f"until {entry.suppress_until}: that is lost; ask for it again."
            )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _verify(options: argparse.Namespace) -> int:
    source = options.source.expanduser().absolute()
    if (source / RECORD).exists():
        backup = BaseBackup.at(source)
        wal = backup.wal
        followed = wal.followed(backup.first_segment)
        problems = [*_examine(source), *wal.damage(map(wal.path, followed))]
    else:
        problems = _examine_all(BackupFolder(source))
    for problem in problems:
        print(problem)
    if problems:
        raise SetupError(f"{len(problems)} things are wrong with {source}")
    return 0


def _examine_all(folder: BackupFolder) -> list[str]:
    found = [path for series in folder.all_series() for _, path in series.folders()]
    if not found:
        raise SetupError(f"{folder.root} holds no backup")
    problems = [problem for path in found for problem in _examine(path)]
    problems += [each for series in folder.all_series() for each in series.wal.damage()]
    try:
        folder.journal.read()
    except SetupError as error:
        problems.append(error.message)
    return problems


def _examine(path: Path) -> list[str]:
    """What is wrong with a base backup, and what is missing of the changes since."""
    try:
        backup = BaseBackup.at(path)
    except SetupError as error:
        return [error.message]
    followed = backup.wal.followed(backup.first_segment)
    reach = f"{backup.wal.archived_at(followed[-1]):%FT%TZ}" if followed else "its own end"
    problems = [*backup.problems(), *backup.wal.gaps(backup.first_segment, followed)]
    state = f"{len(problems)} things are wrong" if problems else "whole"
    print(f"{path}  {_megabytes(backup.record.size_bytes)}, {state}; changes until {reach}")
    return problems


def _megabytes(size: int) -> str:
    return f"{size / _MB:,.1f} MB"
