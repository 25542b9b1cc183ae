"""`deploy/envoy/envoy.yaml` by a real Envoy in front of real servers."""

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from counters import counted
from facepass import AsyncClient, PhotoSource
from patience import PATIENCE_S
from server_process import free_ports

from common.vision.fake.photos import fake_photo

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "deploy/envoy/envoy.yaml"
EVENTS, SEARCHES = 12, 5
SEARCH = "/facepass.v1.Searcher/Search"


@pytest.fixture(scope="module")
def envoy() -> str:
    found = shutil.which("envoy")
    if found is None:
        pytest.skip("envoy is not installed (`make envoy-check` installs it below .venv)")
    return found


def placed(config: str, servers: list[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The example with the addresses of these servers, and where it listens itself, by server."""
    told = yaml.safe_load(config)
    told["admin"]["address"]["socket_address"]["port_value"] = 0
    own = {}
    for listener, port in zip(told["static_resources"]["listeners"], free_ports(2), strict=True):
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
        own[listener["name"]] = f"127.0.0.1:{port}"
    for cluster in told["static_resources"]["clusters"]:
        addresses = [getattr(each, f"{cluster['name']}_address") for each in servers]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [*map(_endpoint, addresses)]}]
    return told, own


def _endpoint(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    told = {"socket_address": {"address": host, "port_value": int(port)}}
    return {"endpoint": {"address": told}}


@contextmanager
def proxied(envoy: str, folder: Path, servers: list[Any]) -> Iterator[dict[str, str]]:
    """Envoy in front of them; its addresses, by server."""
    config, own = placed(CONFIG.read_text(), servers)
    path = folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [envoy, "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1"]
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield own
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def searches(servers: list[Any]) -> list[int]:
    """Searches that each has answered."""
    ports = [each.searcher_server.metrics_port for each in servers]
    return [
        counted(f"127.0.0.1:{port}", "facepass_rpcs_total", "method", "code")[SEARCH, "OK"]
        for port in ports
    ]


async def test_events_keep_to_a_searcher_and_move_once_it_stops(
    envoy: str, database: Any, vision: Any, serving: Any, tmp_path: Path
) -> None:
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        servers = [
            await stack.enter_async_context(serving(database.settings, vision))
            for stack in (first, second)
        ]
        own = second.enter_context(proxied(envoy, tmp_path, servers))
        client = await second.enter_async_context(
            # As a list, for the client to watch the health of the connection, which is no server's.
            AsyncClient(indexer=own["indexer"], searcher=",".join([own["searcher"]] * 2))
        )
        async with asyncio.timeout(PATIENCE_S):
            await _until_through(client)
        places = Counter[int]()
        for number in range(EVENTS):
            event = f"e-{number}"
            await client.create_event(event)
            sources = [PhotoSource("a", fake_photo([1]))]
            results = [each async for each in client.index_photos(event, sources)]
            before = searches(servers)
            for _ in range(SEARCHES):
                assert (await client.search(event, results[0].photo.faces[0].name)).matches
            after = searches(servers)
            moved = [now - then for now, then in zip(after, before, strict=True)]
            assert sorted(moved) == [0, SEARCHES], "one Searcher has all searches of an event"
            places[moved.index(SEARCHES)] += 1
        assert len(places) == 2, "events are spread"

        await first.aclose()
        for number in range(EVENTS):
            assert (await client.search(f"e-{number}", fake_photo([1]))).matches
            assert (await client.get_event(f"e-{number}")).counts.faces == 1


async def _until_through(client: AsyncClient) -> None:
    while True:
        try:
            await client.create_event("first")
            await client.search("first", fake_photo([1]))
        except Exception:
            await asyncio.sleep(0.1)
        else:
            return


def test_the_example_is_for_compose() -> None:
    """What can be told without Envoy: its ports and names are those of compose.scale.yaml."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!reset", lambda loader, node: None)
    compose = yaml.load((ROOT / "deploy/compose.scale.yaml").read_text(), Loader)["services"]
    config = yaml.safe_load(CONFIG.read_text())["static_resources"]
    ports = {each.rpartition(":")[2] for each in compose["envoy"]["ports"]}
    assert ports == {
        str(each["address"]["socket_address"]["port_value"]) for each in config["listeners"]
    }
    for cluster in config["clusters"]:
        (group,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = group["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        assert address["address"] == cluster["name"]
        assert compose[cluster["name"]]["ports"] is None
        (notice,) = compose[cluster["name"]]["environment"].values()
        (check,) = cluster["health_checks"]
        assert float(notice) > float(check["interval"].removesuffix("s"))
        assert check["grpc_health_check"]["service_name"].lower().endswith(cluster["name"])
