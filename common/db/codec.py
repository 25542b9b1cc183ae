"""Templates on the wire of Postgres: pgvector's binary halfvec."""

import asyncpg
import numpy as np

from common.vision.types import EmbeddingVector


def encode_halfvec(vector: EmbeddingVector) -> bytes:
    """(D,) floats to the binary form: dimension and padding as uint16, then D half floats, all
    big-endian.

    Source: pgvector src/halfvec.c::halfvec_recv.
    """
    head = np.array([vector.shape[0], 0], dtype=">u2").tobytes()
    return head + vector.astype(">f2").tobytes()


def decode_halfvec(data: bytes) -> EmbeddingVector:
    """The binary form back to (D,) float32."""
    return np.frombuffer(data, dtype=">f2", offset=4).astype(np.float32)


async def register_codecs(connection: asyncpg.Connection) -> None:
    """Teach one connection the types that FacePass uses. Runs once for each new connection of a
    pool."""
    await connection.set_type_codec(
        "halfvec", schema="public", encoder=encode_halfvec, decoder=decode_halfvec, format="binary"
    )
