"""Calls with one request and one answer: their deadline, their token, and once more where they were
not begun."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol, TypeVar
from urllib.parse import quote

import grpc

from facepass import channel
from facepass.errors import Unavailable, from_rpc_error
from facepass.security import Bearer

_NOT_BEGUN = ("STARTING", "SHUTTING_DOWN")
_ELSEWHERE_S = 0.3


class _Pageable(Protocol):
    page_token: str


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_PageRequest = TypeVar("_PageRequest", bound=_Pageable)
_PageResponse = TypeVar("_PageResponse", bound=_Page)


class Calls:
    """Makes them. timeout_s: longest wait for one answer."""

    def __init__(self, bearer: Bearer, timeout_s: float) -> None:
        self._bearer = bearer
        self._timeout_s = timeout_s

    async def one(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        *,
        event: str = "",
    ) -> _Response:
        """Make a call. event: what to tell proxies that it is about. Raises FacePassError."""
        try:
            return await self._once(method, request, event)
        except Unavailable as refusal:
            # Whatever the call is: one that was not begun may be made again, elsewhere.
            if refusal.reason not in _NOT_BEGUN:
                raise
        await asyncio.sleep(_ELSEWHERE_S)
        return await self._once(method, request, event)

    async def _once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        event: str,
    ) -> _Response:
        metadata = self._bearer.metadata()
        if event:
            metadata += ((channel.EVENT_KEY, quote(event)),)
        try:
            return await method(request, timeout=self._timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def pages(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_PageRequest, _PageResponse],
        request: _PageRequest,
        *,
        event: str = "",
    ) -> AsyncIterator[_PageResponse]:
        """Make a call for one page after the other. Raises FacePassError."""
        while True:
            page = await self.one(method, request, event=event)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
