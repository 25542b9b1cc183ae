"""`google.longrunning.Operations`: how far OptimizeEvent and ErasePerson are, and what came of
them."""

import asyncio
from time import monotonic
from typing import Any
from uuid import UUID

import grpc
from facepass.v1 import indexer_pb2 as pb
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from common.audit.note import concerns, count
from common.errors import (
    EventNotFound,
    FacePassError,
    InvalidArgument,
    OperationCancelled,
    OperationNotDone,
    OperationNotFound,
    OutOfSpace,
)
from common.paging import decode_token, encode_token, fingerprint, not_ours, page_size
from common.rpc.convert import enum_to_wire, timestamp_to_wire
from common.rpc.door import Door
from common.rpc.status import status_of
from indexer.erasure.erasures import Erasure, Kind
from indexer.erasure.receipt_repository import ReceiptRepository
from indexer.erasure.service import operation_to_wire
from indexer.event_repository import EventRepository
from indexer.event_service import index_to_wire
from indexer.graphs.operation_repository import OperationRepository
from indexer.graphs.operations import Failure, Operation

Context = grpc.aio.ServicerContext[Any, Any]
_LOOK_S = 0.2
_LONGEST_WAIT_S = 600.0
_LIST_TOKEN = fingerprint("ListOperations")


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    """Wire to domain and back."""

    def __init__(
        self,
        operations: OperationRepository,
        events: EventRepository,
        receipts: ReceiptRepository,
        door: Door,
    ) -> None:
        self._operations = operations
        self._events = events
        self._receipts = receipts
        self._door = door

    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        return await self._any_to_wire(await self._get(request.name))

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Context
    ) -> operations_pb2.ListOperationsResponse:
        if request.name not in ("", "operations"):
            raise InvalidArgument("name", "must be empty or operations")
        if request.filter:
            raise InvalidArgument("filter", "must be empty")
        size = page_size(request.page_size, default=100, most=1000)
        cursor = decode_token(request.page_token, _LIST_TOKEN, str)
        after = _after(str(cursor[0])) if cursor else None
        found = await self._operations.list(after, size + 1)
        page = found[:size]
        count(operations=len(page))
        return operations_pb2.ListOperationsResponse(
            operations=[await self.to_wire(each) for each in page],
            next_page_token=encode_token(_LIST_TOKEN, [str(page[-1].operation_id)])
            if len(found) > size
            else "",
        )

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        until = monotonic() + _wait_s(request)
        operation = await self._get(request.name)
        while not _is_done(operation) and monotonic() < until and not self._door.closing.is_set():
            await asyncio.sleep(min(_LOOK_S, max(0.0, until - monotonic())))
            operation = await self._get(request.name)
        return await self._any_to_wire(operation)

    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        operation = await self._get(request.name)
        if not _is_done(operation):
            raise OperationNotDone(
                f"{request.name} is under way", metadata={"operation": request.name}
            )
        if isinstance(operation, Operation):  # a receipt stays
            await self._operations.delete(operation.operation_id)
        return empty_pb2.Empty()

    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        operation = await self._get(request.name)
        if isinstance(operation, Operation):  # what is erased does not come back
            await self._operations.cancel(operation.operation_id)
        return empty_pb2.Empty()

    async def _get(self, name: str) -> Operation | Erasure:
        operation_id = _parse(name)
        operation = await self._operations.get(operation_id)
        if operation is not None:
            concerns(operation.event.event)
            return operation
        erasure = await self._receipts.find(operation_id)
        if erasure is not None and erasure.kind is Kind.PERSON:
            concerns(erasure.event.event)
            return erasure
        raise OperationNotFound(f"there is no operation {name}", metadata={"operation": name})

    async def _any_to_wire(self, operation: Operation | Erasure) -> operations_pb2.Operation:
        if isinstance(operation, Erasure):
            return operation_to_wire(operation)
        return await self.to_wire(operation)

    async def to_wire(self, operation: Operation) -> operations_pb2.Operation:
        """The operation; once it is done, with the event's index as it is now."""
        message = operations_pb2.Operation(
            name=f"operations/{operation.operation_id}", done=operation.done
        )
        message.metadata.Pack(
            pb.OptimizeEventMetadata(
                event=str(operation.event),
                phase=enum_to_wire(pb.OptimizePhase, operation.phase),
                faces_done=operation.faces_done,
                faces_total=operation.faces_total,
                create_time=timestamp_to_wire(operation.create_time),
                end_time=timestamp_to_wire(operation.end_time),
            )
        )
        if operation.failure is not None:
            message.error.CopyFrom(status_of(_error(operation.failure)))
        elif operation.done:
            message.response.Pack(await self._response(operation))
        return message

    async def _response(self, operation: Operation) -> pb.OptimizeEventResponse:
        try:
            event = await self._events.get(operation.event)
        except EventNotFound:
            return pb.OptimizeEventResponse()
        if event.uid != operation.uid:
            return pb.OptimizeEventResponse()
        return pb.OptimizeEventResponse(index=index_to_wire(event, building=False))


def _is_done(operation: Operation | Erasure) -> bool:
    if isinstance(operation, Erasure):
        return operation.physical_time is not None
    return operation.done


def _parse(name: str) -> UUID:
    head, _, number = name.rpartition("/")
    try:
        if head == "operations":
            return UUID(number)
    except ValueError:
        pass
    raise InvalidArgument("name", "must be operations/{operation}, the operation being a UUID")


def _after(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise not_ours() from None


def _wait_s(request: operations_pb2.WaitOperationRequest) -> float:
    if not request.HasField("timeout"):
        return _LONGEST_WAIT_S
    return min(float(request.timeout.ToNanoseconds()) / 1e9, _LONGEST_WAIT_S)


def _error(failure: Failure) -> FacePassError:
    known = {each.reason: each for each in (EventNotFound, OperationCancelled, OutOfSpace)}
    return known.get(failure.reason, FacePassError)(failure.message)
