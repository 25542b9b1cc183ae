"""Connections that are given up when they are old."""

import time
from typing import Any

import grpc
import psutil
from facepass.v1 import searcher_pb2, searcher_pb2_grpc

from common.vision.fake.photos import fake_photo
from searcher.config import SearcherServerSettings, SearcherSettings

AGE_S = 0.5
SELFIE = searcher_pb2.EvaluateSelfieRequest(image=fake_photo([1]))


def _own_ports(port: int) -> set[int]:
    """Ports of our ends of the connections to a server of this process."""
    return {
        each.laddr.port
        for each in psutil.Process().net_connections("tcp")
        if each.raddr and each.raddr.port == port
    }


async def test_calls_go_on_over_new_connections(database: Any, vision: Any, serving: Any) -> None:
    listen = SearcherServerSettings(listen="127.0.0.1:0", metrics_listen="", connection_age_s=AGE_S)
    search = SearcherSettings(searcher=listen)
    options = [("grpc.enable_retries", 0)]
    async with (
        serving(database.settings, vision, searcher_settings=search) as servers,
        grpc.aio.insecure_channel(servers.searcher_address, options) as channel,
    ):
        stub, seen = searcher_pb2_grpc.SearcherStub(channel), set[int]()
        deadline_s = time.monotonic() + 60
        while len(seen) < 3:
            await stub.EvaluateSelfie(SELFIE)
            seen |= _own_ports(servers.searcher_server.port)
            assert time.monotonic() < deadline_s, seen
