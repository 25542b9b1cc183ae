"""Encrypted servers, client certificates, and what a server refuses to start with."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import CertificateAuthority
from facepass.v1 import events_pb2, events_pb2_grpc

from common.auth.caller import Caller, Scope, caller
from common.config import AuthSettings, TlsSettings
from common.errors import SetupError
from common.metrics import Metrics
from common.rpc.protection import require_protected
from common.rpc.tls import Certificates
from indexer.config import IndexerServerSettings, IndexerSettings
from indexer.event_service import EventsServicer
from standalone.cli import run

OURS, OTHERS = CertificateAuthority("ours"), CertificateAuthority("others")
Start = Callable[[TlsSettings], AbstractAsyncContextManager[Any]]


@pytest.fixture
def start(database: Any, vision: Any, serving: Any) -> Start:
    """Servers with TLS settings of the test's own."""

    @asynccontextmanager
    async def started(tls: TlsSettings) -> AsyncIterator[Any]:
        index = IndexerSettings(
            tls=tls, indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen="")
        )
        async with serving(database.settings, vision, indexer_settings=index) as servers:
            yield servers

    return started


def settings(folder: Path, client_ca: str = "") -> TlsSettings:
    certificate, key = OURS.issue("server").write(folder, "server")
    return TlsSettings(certificate=str(certificate), key=str(key), client_ca=client_ca)


async def list_events(address: str, credentials: grpc.ChannelCredentials) -> Any:
    async with grpc.aio.secure_channel(address, credentials) as channel:
        stub = events_pb2_grpc.EventsStub(channel)
        return await stub.ListEvents(events_pb2.ListEventsRequest(), timeout=10)


async def test_calls_are_encrypted(start: Start, tmp_path: Path) -> None:
    async with start(settings(tmp_path)) as servers:
        address = servers.indexer_address
        await list_events(address, grpc.ssl_channel_credentials(OURS.pem))
        with pytest.raises(grpc.aio.AioRpcError):
            await list_events(address, grpc.ssl_channel_credentials(OTHERS.pem))
        with pytest.raises(grpc.aio.AioRpcError):
            await servers.events.ListEvents(events_pb2.ListEventsRequest())  # plain text
        version = await asyncio.to_thread(tls_version, address)
        assert version in ("TLSv1.2", "TLSv1.3")
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(tls_version, address, ssl.TLSVersion.TLSv1_1)


def tls_version(address: str, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> str | None:
    """The version that the server settles on with a client that knows none newer."""
    import socket
    import warnings

    host, _, port = address.partition(":")
    context = ssl.create_default_context(cadata=OURS.pem.decode())
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = min(most, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = most
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        return wrapped.version()


async def test_a_client_certificate_is_the_caller(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Caller] = []
    answer = EventsServicer.ListEvents

    async def spy(self: Any, request: Any, context: Any) -> Any:
        seen.append(caller.get())
        return await answer(self, request, context)

    monkeypatch.setattr(EventsServicer, "ListEvents", spy)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(OURS.pem)
    backend, stranger = OURS.issue("backend"), OTHERS.issue("stranger")
    async with start(settings(tmp_path, client_ca=str(ca))) as servers:
        address = servers.indexer_address
        shown = grpc.ssl_channel_credentials(OURS.pem, backend.key, backend.certificate)
        await list_events(address, shown)
        assert seen == [Caller("backend", frozenset(Scope), ("*",))]
        for credentials in (
            grpc.ssl_channel_credentials(OURS.pem),
            grpc.ssl_channel_credentials(OURS.pem, stranger.key, stranger.certificate),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await list_events(address, credentials)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert len(seen) == 1


def test_bad_files_stop_the_start(tmp_path: Path) -> None:
    good = settings(tmp_path)

    def refusal(tls: TlsSettings) -> str:
        with pytest.raises(SetupError) as refused:
            Certificates(tls, Metrics())
        return refused.value.message

    Certificates(good, Metrics())
    absent = str(tmp_path / "absent")
    assert "CERTIFICATE: cannot read" in refusal(good.model_copy(update={"certificate": absent}))
    assert "KEY: cannot read" in refusal(good.model_copy(update={"key": absent}))
    assert "CLIENT_CA: cannot read" in refusal(good.model_copy(update={"client_ca": absent}))
    _, other = OURS.issue("other").write(tmp_path, "other")
    assert "is not the key of" in refusal(good.model_copy(update={"key": str(other)}))
    assert "no PEM" in refusal(good.model_copy(update={"certificate": good.key}))
    Path(good.key).chmod(0o644)
    assert f"chmod o-rwx {good.key}" in refusal(good)
    Path(good.key).chmod(0o640)
    Certificates(good, Metrics())


def test_changed_files_are_taken_where_they_are_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    metrics = Metrics()

    def counted() -> float:
        return metrics.registry.get_sample_value("facepass_certificate_failures_total") or 0.0

    def expiry() -> float:
        found = metrics.registry.get_sample_value("facepass_certificate_expiry_seconds")
        assert found is not None
        return found

    tls = settings(tmp_path)
    certificates = Certificates(tls, metrics)
    first, first_expiry = certificates.current(), expiry()
    (tmp_path / "another file").touch()
    assert certificates.current() is first
    Path(tls.certificate).write_bytes(b"broken")
    assert certificates.current() is first and certificates.current() is first
    assert counted() == 1
    longer = OURS.issue("server", days=9)
    longer.write(tmp_path, "server")
    assert expiry() > first_expiry + 7 * 86_400  # a look at the metrics is enough
    assert certificates.current().serial == longer.serial
    Path(tls.key).unlink()
    assert certificates.current().serial == longer.serial
    assert counted() == 2


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "facepass.example:1"])
def test_what_others_reach_is_protected(listen: str) -> None:
    tls, open_tls = TlsSettings(certificate="c", key="k"), TlsSettings(insecure=True)
    tokens, anyone = AuthSettings(jwks="j", issuer="i"), AuthSettings(none=True)
    mutual = TlsSettings(certificate="c", key="k", client_ca="a")
    for good_tls, good_auth in (
        (tls, tokens),
        (tls, anyone),
        (open_tls, tokens),
        (open_tls, anyone),
        (mutual, AuthSettings()),
    ):
        require_protected(listen, good_tls, good_auth)
    for bad_tls, bad_auth, says in (
        (TlsSettings(), tokens, "FACEPASS_TLS__INSECURE=true"),
        (tls, AuthSettings(), "FACEPASS_AUTH__NONE=true"),
        (open_tls, AuthSettings(), "FACEPASS_AUTH__NONE=true"),
    ):
        with pytest.raises(SetupError, match=says):
            require_protected(listen, bad_tls, bad_auth)


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:1", "127.8.0.1:1", "localhost:1", "[::1]:1", "unix:/run/facepass"]
)
def test_what_this_machine_alone_reaches_needs_nothing(listen: str) -> None:
    require_protected(listen, TlsSettings(), AuthSettings())


@pytest.mark.parametrize(
    ("tls", "auth", "says"),
    [
        (TlsSettings(certificate="c"), AuthSettings(), "go together"),
        (TlsSettings(key="k"), AuthSettings(), "go together"),
        (TlsSettings(client_ca="a"), AuthSettings(), "needs FACEPASS_TLS__CERTIFICATE"),
        (TlsSettings(), AuthSettings(jwks="j", secret_file="s", issuer="i"), "exclude each other"),
        (TlsSettings(), AuthSettings(jwks="j"), "FACEPASS_AUTH__ISSUER is not set"),
        (TlsSettings(), AuthSettings(jwks="j", issuer="i", none=True), "contradicts"),
    ],
)
def test_settings_that_contradict_each_other(
    tls: TlsSettings, auth: AuthSettings, says: str
) -> None:
    with pytest.raises(SetupError, match=says):
        require_protected("127.0.0.1:1", tls, auth)


@pytest.mark.parametrize("command", ["standalone", "indexer", "searcher"])
def test_the_commands_refuse_before_anything_is_started(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = "searcher" if command == "searcher" else "indexer"
    arguments = [command, f"--{server}-listen=0.0.0.0:50051"]
    if command == "standalone":
        arguments.append(f"--data-dir={tmp_path / 'data'}")
    assert run(arguments) == 1
    assert "FACEPASS_TLS__INSECURE=true" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


async def test_a_server_that_others_reach_does_not_start_open(
    database: Any, vision: Any, serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def on_all(**more: Any) -> IndexerSettings:
        listen = IndexerServerSettings(listen="0.0.0.0:0", metrics_listen="")
        return IndexerSettings(indexer=listen, **more)

    with pytest.raises(SetupError, match=r"FACEPASS_TLS__CERTIFICATE and FACEPASS_TLS__KEY"):
        async with serving(database.settings, vision, indexer_settings=on_all()):
            pytest.fail("it started")
    opened = on_all(tls=TlsSettings(insecure=True), auth=AuthSettings(none=True))
    async with serving(database.settings, vision, indexer_settings=opened) as servers:
        await servers.events.ListEvents(events_pb2.ListEventsRequest())
    warned = {r.action for r in caplog.records if r.levelname == "WARNING"}  # type: ignore[attr-defined]
    assert {"plain_text", "open_to_anyone"} <= warned
