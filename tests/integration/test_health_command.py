"""`facepass-server health` against servers in plain text, with TLS, with client certificates."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from authority import CertificateAuthority

from common.config import TlsSettings
from indexer.config import IndexerServerSettings, IndexerSettings
from standalone.cli import run

OURS = CertificateAuthority("ours")


@pytest.mark.parametrize("protected", ["plain", "tls", "client certificates"])
async def test_a_server_is_asked_as_it_is_protected(
    protected: str,
    database: Any,
    vision: Any,
    serving: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = TlsSettings()
    if protected != "plain":
        certificate, key = OURS.issue("server").write(tmp_path, "server")
        ca = tmp_path / "ca.pem"
        ca.write_bytes(OURS.pem)
        asked = str(ca) if protected == "client certificates" else ""
        tls = TlsSettings(certificate=str(certificate), key=str(key), client_ca=asked)
    index = IndexerSettings(
        tls=tls, indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="")
    )
    async with serving(database.settings, vision, indexer_settings=index) as servers:
        monkeypatch.setenv("FACEPASS_INDEXER__LISTEN", servers.indexer_address)
        for name, value in tls.model_dump().items():
            monkeypatch.setenv(f"FACEPASS_TLS__{name.upper()}", str(value))
        for arguments in (["health", "indexer"], ["health", "indexer", "--live"]):
            assert await asyncio.to_thread(run, arguments) == 0
        if protected == "tls":
            monkeypatch.setenv("FACEPASS_TLS__CERTIFICATE", "")
            monkeypatch.setenv("FACEPASS_TLS__KEY", "")
            assert await asyncio.to_thread(run, ["health", "indexer"]) == 1


async def test_one_that_is_not_ready_is_told_from_one_that_is_dead(
    servers: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEPASS_SEARCHER__LISTEN", servers.indexer_address)
    assert await asyncio.to_thread(run, ["health", "searcher", "--live"]) == 0
    assert await asyncio.to_thread(run, ["health", "searcher"]) == 1, "it is no Searcher"
    monkeypatch.setenv("FACEPASS_SEARCHER__LISTEN", "127.0.0.1:1")
    assert await asyncio.to_thread(run, ["health", "searcher", "--live"]) == 1
    assert "nobody answers as searcher" in capsys.readouterr().err
