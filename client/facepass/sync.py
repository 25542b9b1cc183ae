"""The client for ordinary code: `AsyncClient`, run by an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from facepass.aio import AsyncClient
from facepass.security import Security

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _waiting(
    method: Callable[Concatenate[AsyncClient, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate["Client", _P], _T]:
    """Turn a method of `AsyncClient` into one that waits for its result."""

    @wraps(method)
    def wait(self: "Client", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return self._wait_for(method(self._client, *args, **kwargs))

    return wait


def _iterating(
    method: Callable[Concatenate[AsyncClient, _P], AsyncIterator[_T]],
) -> Callable[Concatenate["Client", _P], Iterator[_T]]:
    """Turn a method of `AsyncClient` that iterates into one that iterates in ordinary code."""

    @wraps(method)
    def iterate(self: "Client", /, *args: _P.args, **kwargs: _P.kwargs) -> Iterator[_T]:
        return self._iterate(method(self._client, *args, **kwargs))

    return iterate


class Client:
    """Talks to both FacePass servers. A context manager; may be shared by threads.

    Arguments, methods and errors are those of `AsyncClient`, where they are described.
    """

    def __init__(
        self,
        *,
        indexer: str | None = None,
        searcher: str | None = None,
        timeout_s: float = 60.0,
        **security: Unpack[Security],
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="facepass-client", daemon=True
        )
        self._thread.start()

        async def connect() -> AsyncClient:
            return AsyncClient(indexer=indexer, searcher=searcher, timeout_s=timeout_s, **security)

        try:
            self._client = self._wait_for(connect())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way are cancelled. A second time does nothing."""
        if self._loop.is_closed():
            return
        self._wait_for(self._client.close())
        self._wait_for(self._loop.shutdown_asyncgens())
        self._wait_for(self._loop.shutdown_default_executor())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    create_event = _waiting(AsyncClient.create_event)
    get_event = _waiting(AsyncClient.get_event)
    get_event_by_uid = _waiting(AsyncClient.get_event_by_uid)
    list_events = _iterating(AsyncClient.list_events)
    update_event = _waiting(AsyncClient.update_event)
    delete_event = _waiting(AsyncClient.delete_event)
    optimize_event = _waiting(AsyncClient.optimize_event)
    get_operation = _waiting(AsyncClient.get_operation)
    wait_operation = _waiting(AsyncClient.wait_operation)
    index_photos = _iterating(AsyncClient.index_photos)
    index_photo = _waiting(AsyncClient.index_photo)
    get_photo = _waiting(AsyncClient.get_photo)
    list_photos = _iterating(AsyncClient.list_photos)
    delete_photo = _waiting(AsyncClient.delete_photo)
    delete_face = _waiting(AsyncClient.delete_face)
    erase_person = _waiting(AsyncClient.erase_person)
    get_erasure = _waiting(AsyncClient.get_erasure)
    list_erasures = _iterating(AsyncClient.list_erasures)
    search = _waiting(AsyncClient.search)
    search_page = _waiting(AsyncClient.search_page)
    compare_faces = _waiting(AsyncClient.compare_faces)
    evaluate_selfie = _waiting(AsyncClient.evaluate_selfie)

    def _wait_for(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # the caller was interrupted (Ctrl-C); nothing happens once it is done
            raise

    def _iterate(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        # An interrupted advance must have come to its end before the iterator may be closed.
        lock = asyncio.Lock()

        async def advance() -> tuple[_T] | None:
            async with lock:
                async for item in items:
                    return (item,)
                return None

        async def finish() -> None:
            async with lock:
                if isinstance(items, AsyncGenerator):
                    await items.aclose()

        try:
            while (found := self._wait_for(advance())) is not None:
                yield found[0]
        finally:
            self._wait_for(finish())
