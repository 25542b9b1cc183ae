"""The limits of calls at a time."""

import asyncio

import pytest

from common.errors import Overloaded
from common.metrics import Metrics
from common.rpc.admission import Admission, Gate


async def test_the_limit_holds_in_wave_after_wave() -> None:
    gate = Gate("searches", 5, Metrics())
    inside = most = 0

    async def call() -> bool:
        nonlocal inside, most
        try:
            with gate.admitted():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1
        except Overloaded:
            return False
        return True

    for _ in range(20):
        admitted = await asyncio.gather(*(call() for _ in range(20)))
        assert sum(admitted) == 5
    assert (inside, most) == (0, 5)


async def test_whoever_leaves_makes_room_however_it_ends() -> None:
    metrics = Metrics()
    gate = Gate("searches", 1, metrics)

    async def wait() -> None:
        with gate.admitted():
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        gate.check()
    assert refused.value.metadata == {"limit": "searches"}
    assert 0 < refused.value.retry_after_s <= 10
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(LookupError), gate.admitted():
        raise LookupError
    gate.check()
    assert metrics.registry.get_sample_value("facepass_calls_admitted", {"limit": "searches"}) == 0


def test_each_method_has_its_gate() -> None:
    metrics = Metrics()
    others, streams = Gate("admin", 1, metrics), Gate("streams", 1, metrics)
    admission = Admission(others, {"/a/Stream": streams})
    assert admission.gate("/a/Stream") is streams
    assert admission.gate("/a/Get") is others
