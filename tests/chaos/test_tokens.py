"""Floods of worthless tokens, keys that are rotated, and an issuer that is away."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from authority import ISSUER, KeyServer, Signer, jwks, part
from facepass.v1 import events_pb2

from common.config import AuthSettings
from indexer.config import IndexerServerSettings, IndexerSettings

CALLERS = 16


async def test_unknown_keys_rotation_and_an_issuer_that_is_away(
    database: Any, vision: Any, serving: Any, long: bool, figure: Any
) -> None:
    many = 10_000 if long else 1_000
    old, new = Signer.new("old"), Signer.new("new")
    with KeyServer(jwks(old, new)).running() as issuer:
        settings = IndexerSettings(
            auth=AuthSettings(jwks=issuer.address, issuer=ISSUER, refresh_s=30),
            indexer=IndexerServerSettings(listen="127.0.0.1:0", metrics_listen=""),
        )
        async with serving(database.settings, vision, indexer_settings=settings) as servers:
            began_s = asyncio.get_running_loop().time()
            issuer.status = 503  # away from now on
            numbers = itertools.count()
            body = Signer.new("x").token().partition(".")[2]

            def unknown() -> str:
                return f"{part({'alg': 'EdDSA', 'kid': str(next(numbers))})}.{body}"

            flood = [
                asyncio.create_task(calls(servers, unknown, many // CALLERS))
                for _ in range(CALLERS)
            ]
            signers = itertools.cycle((old, new))
            good = await calls(servers, lambda: next(signers).token(), many // 10)
            refused: Counter[str] = sum(await asyncio.gather(*flood), Counter())
            spent_s = asyncio.get_running_loop().time() - began_s
            allowed = 1 + int(spent_s / 30)  # one at the start
            assert good == {"OK": many // 10}
            assert refused == {"UNAUTHENTICATED": many // CALLERS * CALLERS}
            assert issuer.asked <= allowed
    figure(
        "unknown keys while the issuer is away",
        done=f"{many:,} calls with tokens of unknown keys, from {CALLERS} callers at a time, "
        "beside one with good tokens of two keys; the keys' address answers 503",
        page="security",
        refused=refused["UNAUTHENTICATED"],
        good_tokens_accepted=good["OK"],
        good_tokens_refused=many // 10 - good["OK"],
        looks_at_the_address=issuer.asked,
        looks_allowed=allowed,
    )


async def calls(servers: Any, token: Callable[[], str], count: int) -> Counter[str]:
    """Make so many calls; returns the codes."""
    codes: Counter[str] = Counter()
    for _ in range(count):
        metadata = (("authorization", f"Bearer {token()}"),)
        try:
            await servers.events.ListEvents(
                events_pb2.ListEventsRequest(page_size=1), metadata=metadata
            )
            codes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1
    return codes
