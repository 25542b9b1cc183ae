"""Certificates that are replaced, well and badly, while calls are made."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from authority import CertificateAuthority
from cryptography import x509
from facepass.v1 import events_pb2, events_pb2_grpc

from common.config import TlsSettings
from indexer.config import IndexerServerSettings, IndexerSettings

pytestmark = pytest.mark.takes(95)

AUTHORITY = CertificateAuthority("authority")
BROKEN = ("no PEM", "half of it", "the key of another", "key gone", "others may read the key")


async def test_certificates_replaced_under_load(
    database: Any, vision: Any, serving: Any, tmp_path: Path, long: bool, figure: Any
) -> None:
    rounds, pause_s = (30, 1.5) if long else (len(BROKEN), 0.3)
    certificate, key = AUTHORITY.issue("server").write(tmp_path, "server")
    settings = IndexerSettings(
        tls=TlsSettings(certificate=str(certificate), key=str(key)),
        indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen=""),
    )
    async with serving(database.settings, vision, indexer_settings=settings) as servers:
        load = Load(servers.indexer_address)
        running = [asyncio.create_task(load.live()) for _ in range(4)]
        running.append(asyncio.create_task(load.anew()))
        for number in range(rounds):
            issued = AUTHORITY.issue("server")
            issued.write(tmp_path, "server")
            assert await serial(servers.indexer_address) == issued.serial
            await asyncio.sleep(pause_s)
            harm(BROKEN[number % len(BROKEN)], certificate, key)
            assert await serial(servers.indexer_address) == issued.serial
            await asyncio.sleep(pause_s)
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert load.calls > 100 and load.connections > 5
    assert load.failed == []
    figure(
        "certificates replaced under load",
        done="calls on live and on new connections, while certificate and key were replaced, and "
        f"then broken in one of five ways, in turn, every {pause_s:g} s",
        page="security",
        calls=load.calls,
        new_connections=load.connections,
        failed_calls=len(load.failed),
        certificates_replaced=rounds,
        next_handshakes_with_the_new_serial=rounds,
        broken_files_that_left_the_last_good_ones=rounds,
    )


class Load:
    """Calls, and what became of them."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.calls = self.connections = 0
        self.failed: list[str] = []

    async def live(self) -> None:
        """Calls on one connection."""
        async with self._channel() as channel:
            while True:
                await self._call(channel)

    async def anew(self) -> None:
        """Calls on a new connection each."""
        while True:
            async with self._channel() as channel:
                await self._call(channel)
                self.connections += 1

    def _channel(self) -> grpc.aio.Channel:
        # Else channels to one address share a connection.
        own = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(
            self._address, grpc.ssl_channel_credentials(AUTHORITY.pem), own
        )

    async def _call(self, channel: grpc.aio.Channel) -> None:
        stub = events_pb2_grpc.EventsStub(channel)
        try:
            await stub.ListEvents(events_pb2.ListEventsRequest(), timeout=20)
            self.calls += 1
        except grpc.aio.AioRpcError as error:
            self.failed.append(f"{error.code()}: {error.details()}")
        await asyncio.sleep(0.01)


async def serial(address: str) -> int:
    """Of the certificate that the next handshake shows."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = address.partition(":")
    _, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname="localhost"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(shown).serial_number


def harm(how: str, certificate: Path, key: Path) -> None:
    match how:
        case "no PEM":
            certificate.write_bytes(b"not a certificate")
        case "half of it":
            certificate.write_bytes(certificate.read_bytes()[:200])
        case "the key of another":
            key.write_bytes(AUTHORITY.issue("another").key)
        case "key gone":
            key.unlink()
        case "others may read the key":
            key.write_bytes(key.read_bytes() + b"\n")
            key.chmod(0o604)
