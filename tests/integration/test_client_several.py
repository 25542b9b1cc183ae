"""The client with several servers: whom it calls, and what it sends them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import facepass
import grpc
import pytest
from authority import ISSUER, CertificateAuthority, Signer, jwks
from counters import counted
from facepass.cli.main import main
from facepass.v1 import indexer_pb2
from facepass.v1 import searcher_pb2 as pb
from server_process import free_ports

from common.config import AuthSettings, TlsSettings
from common.rpc.door import stopping
from common.rpc.status import grpc_status_of
from common.vision.fake.photos import fake_photo
from indexer.config import IndexerServerSettings, IndexerSettings
from searcher.config import SearcherServerSettings, SearcherSettings

CALLS = 20


async def test_the_command_does_without_one_that_is_away(
    servers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"127.0.0.1:{free_ports(1)[0]}"
    addresses = ["--indexer", f"{away},{servers.indexer_address}"]
    addresses += ["--searcher", f"{servers.searcher_address},{away}"]
    assert await asyncio.to_thread(main, [*addresses, "event", "create", "gala"]) == 0
    local = servers.indexer_address.replace("127.0.0.1", "dns:///localhost")
    assert await asyncio.to_thread(main, ["--indexer", local, "event", "get", "gala"]) == 0
    both = ["--indexer", f"{away},{away}"]
    assert await asyncio.to_thread(main, [*both, "event", "get", "gala"]) == 1
    assert f"cannot reach the server at {away},{away}" in capsys.readouterr().err


async def test_calls_go_in_turn_also_where_health_is_not_public(
    database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    """By TLS, with tokens, on two pairs of servers whose certificates are for the same names."""
    authority, signer = CertificateAuthority("authority"), Signer.new("one")
    keys, ca = tmp_path / "jwks.json", tmp_path / "ca.pem"
    keys.write_bytes(jwks(signer))
    ca.write_bytes(authority.pem)
    certificate, key = authority.issue("server").write(tmp_path, "server")
    protection: dict[str, Any] = {
        "tls": TlsSettings(certificate=str(certificate), key=str(key)),
        "auth": AuthSettings(jwks=str(keys), issuer=ISSUER, public_health=False),
    }
    settings = {
        "indexer_settings": IndexerSettings(
            indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen=""), **protection
        ),
        "searcher_settings": SearcherSettings(
            searcher=SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
            **protection,
        ),
    }
    async with (
        serving(database.settings, vision, **settings) as one,
        serving(database.settings, vision, **settings) as other,
        facepass.AsyncClient(
            indexer=f"{one.indexer_address},{other.indexer_address}",
            searcher=f"{one.searcher_address},{other.searcher_address}",
            token=signer.token,
            ca_file=ca,
        ) as client,
    ):
        await client.create_event("gala")
        await client.index_photo("gala", facepass.PhotoSource("a", fake_photo([1])))
        for _ in range(CALLS):
            assert (await client.search("gala", fake_photo([1]))).matches
        for pair in (one, other):
            metrics = f"127.0.0.1:{pair.searcher_server.metrics_port}"
            answered = counted(metrics, "facepass_rpcs_total", "code")["OK",]
            assert answered == pytest.approx(CALLS / 2, abs=1)


class Heard:
    """A Searcher that notes what it hears of the event beside the request."""

    def __init__(self) -> None:
        self.events: list[str | None] = []

    async def search(self, _: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        self.events.append(dict(context.invocation_metadata()).get("x-facepass-event"))
        return pb.SearchResponse()

    async def selfie(self, _: pb.EvaluateSelfieRequest, context: Any) -> pb.EvaluateSelfieResponse:
        self.events.append(dict(context.invocation_metadata()).get("x-facepass-event"))
        return pb.EvaluateSelfieResponse()


@pytest.fixture
async def heard() -> AsyncIterator[tuple[Heard, str]]:
    """It and its address; it knows nothing of health."""
    heard, server = Heard(), grpc.aio.server()
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Search": grpc.unary_unary_rpc_method_handler(
            heard.search, pb.SearchRequest.FromString, pb.SearchResponse.SerializeToString
        ),
        "EvaluateSelfie": grpc.unary_unary_rpc_method_handler(
            heard.selfie,
            pb.EvaluateSelfieRequest.FromString,
            pb.EvaluateSelfieResponse.SerializeToString,
        ),
    }
    handler = grpc.method_handlers_generic_handler("facepass.v1.Searcher", methods)
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield heard, f"127.0.0.1:{port}"
    await server.stop(0)


async def test_searches_name_their_event_for_proxies(heard: tuple[Heard, str]) -> None:
    told, address = heard
    async with facepass.AsyncClient(searcher=f"{address},{address}") as client:
        await client.search("gala", b"selfie")
        await client.search_page("events/gala", b"selfie")
        await client.search("gälä", b"selfie")
        await client.evaluate_selfie(b"selfie")
    assert told.events == ["events/gala", "events/gala", "events/g%C3%A4l%C3%A4", None]


async def test_a_call_that_was_not_begun_is_made_once_more() -> None:
    """Also one that changes something, and that gRPC itself must not repeat."""
    refusals, asked = [stopping()], list[str]()

    async def delete(request: indexer_pb2.DeletePhotoRequest, context: Any) -> Any:
        asked.append(request.name)
        if refusals:
            await context.abort_with_status(grpc_status_of(refusals.pop()))
        return indexer_pb2.DeletePhotoResponse()

    server = grpc.aio.server()
    method: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        delete,
        indexer_pb2.DeletePhotoRequest.FromString,
        indexer_pb2.DeletePhotoResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("facepass.v1.Indexer", {"DeletePhoto": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with facepass.AsyncClient(indexer=f"127.0.0.1:{port}") as client:
        await client.delete_photo("gala", "a")
        assert asked == ["events/gala/photos/a"] * 2
    await server.stop(0)
