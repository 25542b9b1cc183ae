"""Following what OptimizeEvent does: by the Operations service, the client and the command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import facepass
import grpc
import pytest
from facepass.cli.main import main
from facepass.v1 import events_pb2, indexer_pb2
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from large_events import ask, create, fill, finished, index_of, indexing

BUILDING = indexing(interval_s=0.1)
WAITING = indexing(enabled=False, interval_s=3600)


@pytest.fixture
async def servers(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    """Servers that build graphs on demand."""
    async with serving(database.settings, vision, indexer_settings=BUILDING) as running:
        yield running


@pytest.fixture
async def idle(database: Any, vision: Any, serving: Any) -> AsyncIterator[Any]:
    """Servers on which operations wait for ever."""
    async with serving(database.settings, vision, indexer_settings=WAITING) as running:
        yield running


def operations(servers: Any) -> Any:
    return operations_pb2_grpc.OperationsStub(servers.indexer_channel)


def metadata(operation: Any) -> indexer_pb2.OptimizeEventMetadata:
    told = indexer_pb2.OptimizeEventMetadata()
    assert operation.metadata.Unpack(told)
    return told


def result(operation: Any) -> events_pb2.EventIndex:
    told = indexer_pb2.OptimizeEventResponse()
    assert operation.response.Unpack(told)
    return told.index


def reason(message: Any) -> str:
    """Of a google.rpc.Status."""
    info = error_details_pb2.ErrorInfo()
    assert message.details[0].Unpack(info)
    return str(info.reason)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), facepass.errors.from_rpc_error(caught.value).reason


async def test_an_operation_from_start_to_end(servers: Any) -> None:
    await fill(servers, "gala")
    begun = await ask(servers, "gala")
    assert begun.name.startswith("operations/")
    assert metadata(begun).event == "events/gala"
    done = await finished(servers, begun.name)
    told = metadata(done)
    assert told.phase == indexer_pb2.OPTIMIZE_PHASE_DONE
    assert told.create_time.ToDatetime() <= told.end_time.ToDatetime()
    assert result(done) == await index_of(servers, "gala")
    request = operations_pb2.GetOperationRequest(name=begun.name)
    assert await operations(servers).GetOperation(request) == done


async def test_a_small_event_needs_nothing(idle: Any) -> None:
    await create(idle, "small")
    operation = await ask(idle, "small")
    assert operation.done
    assert result(operation).strategy == events_pb2.INDEX_STRATEGY_EXACT


async def test_asking_twice_gives_the_same_operation(idle: Any) -> None:
    await fill(idle, "gala")
    first = await ask(idle, "gala")
    assert metadata(first).phase == indexer_pb2.OPTIMIZE_PHASE_QUEUED
    assert metadata(first).faces_total == 48
    assert (await ask(idle, "gala")).name == first.name
    assert (await index_of(idle, "gala")).state == events_pb2.INDEX_STATE_BUILDING


async def test_waiting_ends_when_it_was_to_end(idle: Any) -> None:
    await fill(idle, "gala")
    begun = await ask(idle, "gala")
    request = operations_pb2.WaitOperationRequest(
        name=begun.name, timeout=duration_pb2.Duration(nanos=1)
    )
    assert not (await operations(idle).WaitOperation(request)).done


async def test_operations_are_listed_in_pages(idle: Any) -> None:
    names = set()
    for event in ("one", "two", "three"):
        await create(idle, event)
        names.add((await ask(idle, event)).name)
    stub, listed, token = operations(idle), [], None
    while token != "":
        page = await stub.ListOperations(
            operations_pb2.ListOperationsRequest(
                name="operations", page_size=2, page_token=token or ""
            )
        )
        listed += [operation.name for operation in page.operations]
        token = page.next_page_token
    assert len(listed) == 3 and set(listed) == names
    for wrong in ({"filter": "done=true"}, {"name": "events/one"}, {"page_token": "x"}):
        request = operations_pb2.ListOperationsRequest(**wrong)
        code, _ = await refused(stub.ListOperations(request))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_operation_is_cancelled_then_deleted(idle: Any) -> None:
    await fill(idle, "gala")
    stub, name = operations(idle), (await ask(idle, "gala")).name
    delete = operations_pb2.DeleteOperationRequest(name=name)
    assert await refused(stub.DeleteOperation(delete)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "OPERATION_NOT_DONE",
    )
    await stub.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
    done = await finished(idle, name)
    assert done.error.code == grpc.StatusCode.CANCELLED.value[0]
    assert reason(done.error) == "OPERATION_CANCELLED"
    assert (await index_of(idle, "gala")).state == events_pb2.INDEX_STATE_READY
    await stub.DeleteOperation(delete)
    get = operations_pb2.GetOperationRequest(name=name)
    assert await refused(stub.GetOperation(get)) == (
        grpc.StatusCode.NOT_FOUND,
        "OPERATION_NOT_FOUND",
    )
    malformed = operations_pb2.GetOperationRequest(name="operations/1")
    assert (await refused(stub.GetOperation(malformed)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_operation_ends_with_its_event(idle: Any) -> None:
    await fill(idle, "gala")
    name = (await ask(idle, "gala")).name
    await idle.events.DeleteEvent(events_pb2.DeleteEventRequest(name="events/gala"))
    assert reason((await finished(idle, name)).error) == "EVENT_NOT_FOUND"
    await fill(idle, "gala")
    assert (await ask(idle, "gala")).name != name


async def test_the_client_waits(servers: Any) -> None:
    await fill(servers, "gala")
    async with facepass.AsyncClient(indexer=servers.indexer_address) as client:
        begun = await client.optimize_event("gala", wait=False)
        done = await client.optimize_event("events/gala")
        assert done.done and result(done).strategy == events_pb2.INDEX_STRATEGY_HNSW
        assert (await client.wait_operation(begun.name)).done
        with pytest.raises(facepass.NotFound):
            await client.optimize_event("absent")


async def test_the_client_raises_what_it_failed_with(idle: Any) -> None:
    await fill(idle, "gala")
    async with facepass.AsyncClient(indexer=idle.indexer_address) as client:
        name = (await client.optimize_event("gala", wait=False)).name
        waiting = asyncio.create_task(client.wait_operation(name))
        await operations(idle).CancelOperation(operations_pb2.CancelOperationRequest(name=name))
        with pytest.raises(facepass.FacePassError) as caught:
            await waiting
        assert caught.value.reason == "OPERATION_CANCELLED"


async def test_the_command_shows_how_far_it_is(
    servers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*args: str) -> int:
        addresses = ["--indexer", servers.indexer_address]
        return await asyncio.to_thread(main, [*addresses, *args])

    await fill(servers, "gala")
    assert await run("event", "get", "gala") == 0
    assert "every face is compared" in capsys.readouterr().out
    assert await run("event", "optimize", "gala") == 0
    out, err = capsys.readouterr()
    assert "graph of 48 faces" in out and "finds 100.0%" in out
    assert "waiting" in err or "copying" in err or "building" in err
    assert await run("event", "get", "gala") == 0
    assert "graph of 48 faces" in capsys.readouterr().out
    assert await run("event", "optimize", "gala", "--json") == 0
    assert json.loads(capsys.readouterr().out)["index"]["strategy"] == "INDEX_STRATEGY_HNSW"
    assert await run("event", "optimize", "gala", "--no-wait") == 0
    assert capsys.readouterr().out.startswith("operations/")
    assert await run("event", "optimize", "absent") == 1
