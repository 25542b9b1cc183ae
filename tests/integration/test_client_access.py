"""The client and the command with tokens and TLS."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import facepass
import pytest
from authority import ISSUER, CertificateAuthority, Signer, jwks
from facepass.cli.main import main

from common.config import AuthSettings, TlsSettings
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

AUTHORITY = CertificateAuthority("authority")
SIGNER = Signer.new("one")


@dataclass(frozen=True)
class Place:
    """Encrypted servers that ask for tokens and client certificates."""

    indexer: str
    searcher: str
    ca: Path
    certificate: Path
    key: Path
    token: Path

    def client(self, token: Any = None) -> facepass.AsyncClient:
        return facepass.AsyncClient(
            indexer=self.indexer,
            searcher=self.searcher,
            token=token or self.token,
            ca_file=self.ca,
            client_certificate=self.certificate,
            client_key=self.key,
        )


@pytest.fixture
async def place(database: Any, vision: Any, serving: Any, tmp_path: Path) -> AsyncIterator[Place]:
    keys, ca, token = tmp_path / "jwks.json", tmp_path / "ca.pem", tmp_path / "token"
    keys.write_bytes(jwks(SIGNER))
    ca.write_bytes(AUTHORITY.pem)
    token.write_text(SIGNER.token() + "\n")
    certificate, key = AUTHORITY.issue("server").write(tmp_path, "server")
    shown, shown_key = AUTHORITY.issue("backend").write(tmp_path, "backend")
    both: dict[str, Any] = {
        "tls": TlsSettings(certificate=str(certificate), key=str(key), client_ca=str(ca)),
        "auth": AuthSettings(jwks=str(keys), issuer=ISSUER, leeway_s=0),
    }
    index = IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="")
    search = SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="")
    async with serving(
        database.settings,
        vision,
        indexer_settings=IndexerSettings(indexer=index, **both),
        searcher_settings=SearcherSettings(searcher=search, **both),
    ) as servers:
        yield Place(servers.indexer_address, servers.searcher_address, ca, shown, shown_key, token)


def photos(*ids: str) -> list[facepass.PhotoSource]:
    return [facepass.PhotoSource(each, fake_photo([n + 1])) for n, each in enumerate(ids)]


async def test_everything_with_token_and_certificates(place: Place) -> None:
    async with place.client() as client:
        await client.create_event("gala")
        results = [each async for each in client.index_photos("gala", photos("a", "b"))]
        assert len(results) == 2
        found = await client.search("gala", fake_photo([1]))
        assert [match.photo for match in found.matches] == ["events/gala/photos/a"]


async def test_tokens_come_from_a_file_or_a_call(place: Place) -> None:
    asked = []

    def ask() -> str:
        asked.append(1)
        return SIGNER.token(sub=f"call {len(asked)}")

    async with place.client(ask) as client:
        await client.create_event("gala")
        await client.get_event("gala")
    assert len(asked) == 2
    async with place.client() as client:
        await client.get_event("gala")
        place.token.write_text(SIGNER.token(scope="search"))
        with pytest.raises(facepass.PermissionDenied) as denied:
            await client.create_event("other")
        assert denied.value.reason == "SCOPE_MISSING"
        assert denied.value.metadata == {"scope": "admin"}
        place.token.write_text(SIGNER.token(events=["wedding"]))
        with pytest.raises(facepass.PermissionDenied):
            await client.get_event("gala")
    async with place.client("rubbish") as client:
        with pytest.raises(facepass.Unauthenticated):
            await client.get_event("gala")


async def test_an_upload_goes_on_with_the_next_token(place: Place) -> None:
    """The stream is cut when its token expires; what was not answered goes with a new one."""
    until = int(time.time()) + 2
    tokens: list[str] = []

    def ask() -> str:
        tokens.append(SIGNER.token(exp=until) if time.time() < until else SIGNER.token())
        return tokens[-1]

    async def slowly() -> AsyncIterator[facepass.PhotoSource]:
        for number, photo in enumerate(photos(*"abcdef")):
            if number == 3:
                await asyncio.sleep(until - time.time() + 0.3)
            yield photo

    async with place.client() as client:
        await client.create_event("gala")
    async with place.client(ask) as client:
        results = [each async for each in client.index_photos("gala", slowly())]
    assert sorted(each.photo_id for each in results) == list("abcdef")
    assert {facepass.v1.types_pb2.PhotoState.Name(each.state) for each in results} <= {
        "PHOTO_STATE_INDEXED",
        "PHOTO_STATE_DUPLICATE",
    }
    assert len(tokens) >= 2


async def test_an_expired_token_ends_an_upload_at_once(place: Place) -> None:
    old = SIGNER.token(exp=int(time.time()) - 1)
    async with place.client(old) as client:
        with pytest.raises(facepass.Unauthenticated) as expired:
            async with asyncio.timeout(20):
                _ = [each async for each in client.index_photos("gala", photos("a"))]
    assert expired.value.reason == "TOKEN_EXPIRED"


async def test_the_command_takes_flags_and_variables(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = ["--indexer", place.indexer, "--searcher", place.searcher]
    flags = ["--ca-file", str(place.ca), "--client-certificate", str(place.certificate)]
    flags += ["--client-key", str(place.key), "--token-file", str(place.token)]
    run = asyncio.to_thread
    assert await run(main, [*servers, *flags, "event", "create", "gala"]) == 0
    assert await run(main, ["event", "get", "gala", *servers, *flags, "--json"]) == 0
    assert "events/gala" in capsys.readouterr().out
    assert await run(main, [*servers, *flags[:-2], "event", "get", "gala"]) == 1
    assert "--token-file" in capsys.readouterr().err
    for name, value in (
        ("CA_FILE", place.ca),
        ("CLIENT_CERTIFICATE", place.certificate),
        ("CLIENT_KEY", place.key),
        ("TOKEN_FILE", place.token),
    ):
        monkeypatch.setenv(f"FACEPASS_{name}", str(value))
    assert await run(main, [*servers, "event", "get", "gala"]) == 0
    monkeypatch.delenv("FACEPASS_CLIENT_KEY")
    assert await run(main, [*servers, "event", "get", "gala"]) == 2
    assert "go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["faces.example:443", "10.0.0.1:1", "127.0.0.1.example:1", "127.0.0.1:1,10.0.0.1:1"]
)
def test_tokens_do_not_leave_the_machine_in_plain_text(address: str) -> None:
    with pytest.raises(ValueError, match="plain text"):
        facepass.Client(indexer="127.0.0.1:1", searcher=address, token="secret")
    facepass.Client(indexer=address, token="secret", plaintext_token=True).close()
    facepass.Client(indexer=address, token="secret", tls=True).close()
    facepass.Client(indexer=address).close()
    for local in (
        "127.0.0.1:1",
        "127.0.0.1:1, localhost:1",
        "dns:///localhost:1",
        "localhost:1",
        "[::1]:1",
        "unix:/run/facepass",
    ):
        facepass.Client(indexer=local, searcher=local, token="secret").close()
