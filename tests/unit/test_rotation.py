"""Rotations: orthogonal, undone, the same everywhere, and of nothing to do with each other."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.templates.rotation import ROUNDS, Rotation

SEED = bytes(range(32))
SIZES = [1, 2, 3, 5, 16, 100, 128, 257, 511, 512, 640]


def unit(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def applied(rotation: Rotation, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([rotation.apply(vector) for vector in vectors])


def slow_transform(vector: list[float]) -> list[float]:
    """Walsh-Hadamard by its definition: H[i][j] is -1 to the number of bits that i and j share."""
    size = len(vector)
    return [
        sum(value * (-1) ** (i & j).bit_count() for j, value in enumerate(vector)) / size**0.5
        for i in range(size)
    ]


def slow_rotation(seed: bytes, vector: Sequence[float]) -> list[float]:
    """What is kept in databases: as it is written down in docs/decisions/0021-rotation.md."""
    turned, dimension = list(vector), len(vector)
    size = 2 ** int(math.log2(dimension))
    starts = [0] if size == dimension else [0, dimension - size]
    steps = ROUNDS * len(starts)
    packed = math.ceil(steps * dimension / 8)
    stream = hashlib.shake_256(seed).digest(packed + ROUNDS * dimension * 8)
    for step in range(steps):
        number, part = divmod(step, len(starts))
        if len(starts) == 2 and part == 0:
            first = packed + number * dimension * 8
            ranks = [
                int.from_bytes(stream[first + 8 * i : first + 8 * i + 8], "little")
                for i in range(dimension)
            ]
            turned = [turned[i] for i in sorted(range(dimension), key=ranks.__getitem__)]
        for i in range(dimension):
            byte, bit = divmod(step * dimension + i, 8)
            if stream[byte] & (128 >> bit):
                turned[i] = -turned[i]
        start = starts[part]
        turned[start : start + size] = slow_transform(turned[start : start + size])
    return turned


@pytest.mark.parametrize("dimension", SIZES)
def test_it_is_orthogonal_and_undone(dimension: int) -> None:
    rotation = Rotation(SEED, dimension)
    matrix = applied(rotation, np.eye(dimension, dtype=np.float32)).astype(np.float64)
    assert np.abs(matrix @ matrix.T - np.eye(dimension)).max() < 1e-6
    for vector in unit(20, dimension):
        assert np.abs(rotation.undo(rotation.apply(vector)) - vector).max() < 1e-6


@given(st.integers(1, 600), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_similarities_stay(dimension: int, count: int, seed: int) -> None:
    rotation = Rotation(seed.to_bytes(32, "big"), dimension)
    vectors = unit(count, dimension, seed)
    turned = applied(rotation, vectors)
    assert turned.dtype == np.float32 and turned.shape == vectors.shape
    assert np.allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)


@pytest.mark.parametrize("dimension", [1, 2, 3, 7, 16, 24, 64])
def test_it_is_the_one_that_is_written_down(dimension: int) -> None:
    (vector,) = unit(1, dimension, seed=dimension)
    expected = slow_rotation(SEED, vector.tolist())
    assert np.allclose(Rotation(SEED, dimension).apply(vector), expected, atol=1e-6)


def test_what_was_stored_comes_back_to_the_last_bit() -> None:
    rotation = Rotation(SEED, 512)
    for vector in unit(200, 512):
        stored = rotation.apply(vector).astype(np.float16)
        again = rotation.apply(rotation.undo(stored.astype(np.float32)))
        assert np.array_equal(again.astype(np.float16), stored)


@pytest.mark.parametrize("dimension", [100, 128, 257, 511, 512, 640])
def test_two_spaces_have_nothing_to_do_with_each_other(dimension: int) -> None:
    """Of random vectors, of the axes and of much alike ones: as two random vectors are alike."""
    one, other = Rotation(SEED, dimension), Rotation(SEED[::-1], dimension)
    alike = unit(1, dimension) + 0.1 * unit(500, dimension, seed=1)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    for vectors in (unit(500, dimension), np.eye(dimension, dtype=np.float32)):
        cosines = (applied(one, vectors) * applied(other, vectors)).sum(axis=1)
        assert np.abs(cosines).max() < 6 / dimension**0.5
        assert cosines.std() == pytest.approx(dimension**-0.5, rel=0.25)
    assert (
        np.abs((applied(one, alike) * applied(other, alike)).sum(axis=1)).max() < 6 / dimension**0.5
    )
