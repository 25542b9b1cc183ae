"""What callers were told, call by call and photo by photo, on disk."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from facepass.errors import status_was_lost
from facepass.v1 import indexer_pb2, types_pb2

Told = Counter[tuple[str, str]]


class CallJournal:
    """Makes calls, and writes down how each ended and what became of each photo."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    async def call(self, stub: Any, method: str, request: Any) -> Any:
        """Make a unary call; None where it failed."""
        try:
            response = await getattr(stub, method)(request)
        except grpc.aio.AioRpcError as error:
            self._write(call=method, told=error.code().name)
            return None
        self._write(call=method, told="OK")
        if isinstance(response, indexer_pb2.IndexPhotoResponse):
            self._photo(response.result)
        return response

    async def stream(self, stub: Any, requests: list[indexer_pb2.IndexPhotosRequest]) -> None:
        """Index photos in a stream that ends by itself. `LOST`: how, gRPC does not say."""
        code = "OK"
        try:
            async for response in stub.IndexPhotos(iter(requests)):
                self._photo(response.result)
        except grpc.aio.AioRpcError as error:
            code = "LOST" if status_was_lost(error) else error.code().name
        self._write(call="IndexPhotos", told=code)

    def told(self, kind: str) -> Counter[tuple[str, ...]]:
        """How often what was told. kind: `call`, for (method, code); `photo`, for (state,)."""
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        of_kind = (line for line in lines if kind in line)
        return Counter((*filter(None, (line[kind],)), line["told"]) for line in of_kind)

    def _photo(self, result: indexer_pb2.PhotoResult) -> None:
        state = types_pb2.PhotoState.Name(result.state).removeprefix("PHOTO_STATE_")
        self._write(photo="", told=state)

    def _write(self, **line: str) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
