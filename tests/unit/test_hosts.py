"""One connection string, several servers."""

import pytest
from asyncpg.connect_utils import _parse_connect_arguments

from common.db.hosts import each_host


def addresses(dsn: str) -> list[object]:
    """As asyncpg reads it, without looking anything up."""
    nothing = dict.fromkeys(
        ["host", "port", "user", "password", "passfile", "database", "ssl", "service",
         "servicefile", "server_settings", "krbsrvname", "gsslib", "target_session_attrs",
         "command_timeout"]
    )  # fmt: skip
    found, *_ = _parse_connect_arguments(
        dsn=dsn, direct_tls=False, statement_cache_size=0, max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0, **nothing,
    )  # fmt: skip
    return list(found)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:a%40b@one/db",
        "postgresql://me:a%40b@one:1,two:2/db?sslmode=disable",
        "postgresql://me:word@one,two/db?target_session_attrs=read-write",
        "postgresql://me:word@[::1]:5,[::2]/db",
        "postgresql://me:word@/db?host=/run/one,/run/two",
        "postgresql://me:word@/db?host=%2Frun%2Fone%2C%2Frun%2Ftwo&port=1,2",
        "postgresql://me:word@/db?host=%2Frun%2Fone%2C%2Frun%2Ftwo",
        "postgresql://me:word@one,two/db?port=7",
        "postgresql://me:a%2Cb@one/db",
    ],
)
def test_each_host_is_where_asyncpg_would_go_in_turn(dsn: str) -> None:
    assert [place for each in each_host(dsn) for place in addresses(each)] == addresses(dsn)
    assert all(len(addresses(each)) == 1 for each in each_host(dsn))
