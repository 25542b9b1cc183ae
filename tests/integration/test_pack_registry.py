"""What a pack was registered with is what every server reads."""

from typing import Any

import pytest

from common.db.events import PackRegistry
from common.db.opening import open_database
from common.vision.fake.engine import FakeEngine


async def test_a_registered_pack_keeps_its_calibration(database: Any) -> None:
    pack = FakeEngine().pack
    async with open_database(database.settings) as opened:
        async with opened.transaction() as connection:
            made = await PackRegistry().register(connection, pack)
        async with opened.snapshot() as connection:
            read = await PackRegistry().by_id(connection, made.pack_id)
    assert read == made
    assert (read.key, read.dimension) == (pack.key, pack.dimension)
    # Stored in single precision.
    for faces in (100, 100_000):
        stored = read.calibration.similarity_for(0.1, faces)
        assert stored == pytest.approx(pack.calibration.similarity_for(0.1, faces), abs=1e-6)
