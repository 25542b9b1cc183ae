"""Pseudo-random rotations: as good as a random orthogonal matrix, in a few small products.

Three rounds, each of random signs and a Walsh-Hadamard transform. Source: Ailon and Chazelle, The
Fast Johnson-Lindenstrauss Transform (2009), for the one round; Andoni et al., Practical and Optimal
LSH for Angular Distance (2015), section 5, for three of them in a rotation's place.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from common.vision.types import EmbeddingVector

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class _Step:
    """Elements (D,) change places where there is an `order`, some their signs, and `block` of them
    is transformed."""

    order: NDArray[np.intp] | None
    signs: NDArray[np.float64]
    block: slice


class Rotation:
    """An orthogonal map of D dimensions, drawn by a seed.

    The same to the last bit on every machine: it is computed in double precision, whose errors do
    not show in single.
    """

    def __init__(self, seed: bytes, dimension: int) -> None:
        self._steps = _draw(seed, dimension)

    def apply(self, vector: EmbeddingVector) -> EmbeddingVector:
        """Rotate; lengths and angles stay as they are."""
        turned = vector.astype(np.float64)
        for step in self._steps:
            turned = (turned if step.order is None else turned[step.order]) * step.signs
            turned[step.block] = _transformed(turned[step.block])
        return turned.astype(np.float32)

    def undo(self, vector: EmbeddingVector) -> EmbeddingVector:
        """Rotate back."""
        turned = vector.astype(np.float64)
        for step in reversed(self._steps):
            turned[step.block] = _transformed(turned[step.block])
            turned *= step.signs
            if step.order is not None:
                turned = turned[np.argsort(step.order)]
        return turned.astype(np.float32)


def _draw(seed: bytes, dimension: int) -> list[_Step]:
    """The steps, from SHAKE256 of the seed: a bit an element for each one's signs, then 64 bits an
    element for each round's order.

    Where no power of two covers all elements, a round has two steps, with blocks that overlap; what
    they overlap in may be little, so the elements change places before each round.
    """
    size = 1 << (dimension.bit_length() - 1)
    blocks = [slice(0, size)]
    if size < dimension:
        blocks.append(slice(dimension - size, dimension))
    steps = ROUNDS * len(blocks)
    packed = -(-steps * dimension // 8)
    stream = shake_256(seed).digest(packed + 8 * ROUNDS * dimension)
    bits = np.unpackbits(np.frombuffer(stream[:packed], np.uint8), count=steps * dimension)
    signs = np.where(bits, -1.0, 1.0).reshape(steps, dimension)
    ranks = np.frombuffer(stream[packed:], "<u8").reshape(ROUNDS, dimension)
    orders: list[NDArray[np.intp] | None] = [None] * steps
    if size < dimension:
        orders[:: len(blocks)] = np.argsort(ranks, axis=1, kind="stable")
    return [
        _Step(order, row, block)
        for order, row, block in zip(orders, signs, blocks * ROUNDS, strict=True)
    ]


def _transformed(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normalised Walsh-Hadamard transform of a vector (D,), D a power of two; its own inverse.

    As two products with small matrices, H(rs) being the Kronecker product of H(r) and H(s): fewer
    steps than the fast transform, which is made of very small ones.
    """
    left, right = _hadamards(len(vector))
    grid: NDArray[np.float64] = left.dot(vector.reshape(len(left), -1).dot(right))
    return grid.reshape(-1)


@cache
def _hadamards(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two normalised Hadamard matrices, in Sylvester's order, whose Kronecker product is that of
    `size`."""
    power = size.bit_length() - 1
    return _hadamard(power // 2), _hadamard(power - power // 2)


def _hadamard(power: int) -> NDArray[np.float64]:
    matrix = np.ones((1, 1))
    for _ in range(power):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]) / np.sqrt(2)
    return matrix
