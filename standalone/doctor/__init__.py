"""`facepass-server doctor`: looks at everything a user can get wrong, and says what to do."""

from collections.abc import Iterator
from pathlib import Path

from common.config import TemplateSettings
from common.errors import SetupError
from indexer.config import IndexerSettings
from searcher.config import SearcherSettings
from standalone.backup.archiving import archiving
from standalone.config import read_settings, unknown_variables
from standalone.data_dir import DataDir
from standalone.doctor import database, engine, machine, security, templates
from standalone.doctor.finding import Finding, Level, as_json, as_text, fail, warn

__all__ = ["Finding", "Level", "as_json", "as_text", "examine"]


def examine(data_dir: Path) -> list[Finding]:
    """Everything that is found, with this environment's settings.

    data_dir: the embedded Postgres', looked at where the settings name no other Postgres.
    Raises WrongSetting where there is no telling what to look at.
    """
    index, search = read_settings(IndexerSettings), read_settings(SearcherSettings)
    return [
        *_settings(),
        machine.check_python(),
        machine.check_memory(),
        *engine.check_packages(engine.installed_packages()),
        engine.check_providers(index.engine),
        engine.check_engine(index.engine),
        engine.check_crew(index.engine),
        *machine.check_addresses({"indexer": index.indexer, "searcher": search.searcher}),
        *security.check_security(
            [index.indexer.listen, search.searcher.listen], index.tls, index.auth
        ),
        *_data(index, data_dir),
    ]


def _settings() -> Iterator[Finding]:
    for variable in unknown_variables():
        yield warn("settings", f"{variable} is no setting", "see docs/configuration.md; mistyped?")


def _data(settings: IndexerSettings, data_dir: Path) -> Iterator[Finding]:
    if settings.database.dsn.get_secret_value():
        yield from templates.check_keys(settings.templates)
        yield from database.check_given(settings.database, templates.known_keys(settings.templates))
        return
    yield machine.check_cpu()
    try:
        data, archive = DataDir.at(data_dir), archiving(settings)
    except SetupError as error:
        yield fail("data folder", error.message, "until then the standalone does not start")
        return
    yield from machine.check_disk(data)
    keys = settings.templates
    if not keys.key_file:
        keys = TemplateSettings(key_file=str(data.template_keys))
    if settings.templates.key_file or data.template_keys.exists():
        yield from templates.check_keys(keys)
    yield from database.check_embedded(data, archive, templates.known_keys(keys))
