"""The doctor's look at the keys of templates."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from common.auth.private_file import file_mode
from common.config import TemplateSettings
from common.errors import SetupError
from common.templates.keys import TemplateKeys
from standalone.doctor.finding import Finding, fail, ok, warn
from standalone.repository import LockedEvents


def check_keys(settings: TemplateSettings) -> Iterator[Finding]:
    """Whether there are keys, and only those who may have read them."""
    if not settings.key_file:
        yield ok("templates", "those of new events are kept as the engine makes them")
        return
    try:
        keys = TemplateKeys.of(settings)
    except SetupError as error:
        yield fail("templates", error.message, "until then the servers do not start")
        return
    yield ok("templates", f"rotated; keys: {len(keys.ids)}, of new events: {keys.first}")
    path = Path(settings.key_file).expanduser()
    if file_mode(path) & 0o007:
        yield warn("templates", f"others may use {path}", f"chmod o-rwx {path}")


def known_keys(settings: TemplateSettings) -> Set[str]:
    """Ids of the keys that can be read."""
    try:
        return TemplateKeys.of(settings).ids
    except SetupError:
        return frozenset()


def check_events(locked: Sequence[LockedEvents]) -> Iterator[Finding]:
    """Events whose key is gone."""
    for each in locked:
        more = f" and {each.count - len(each.names)} more" if each.count > len(each.names) else ""
        yield fail(
            "templates",
            f"the key {each.key_id} is missing, of {', '.join(each.names)}{more}",
            "put it back into the file of FACEPASS_TEMPLATES__KEY_FILE; without it these events "
            "can be deleted, not searched",
        )
