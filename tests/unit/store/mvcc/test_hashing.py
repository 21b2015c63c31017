"""CRC-32C by folding equals the bit-by-bit definition."""

from __future__ import annotations

import random

from twofold.store.mvcc.hashing import crc32c, crc32c_parts


def by_definition(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_published_vectors() -> None:
    # RFC 3720, appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0


def test_every_length_equals_the_definition() -> None:
    chance = random.Random(0)
    for size in (*range(40), 63, 64, 65, 1_000, 4_097):
        data = chance.randbytes(size)
        assert crc32c(data) == by_definition(data)


def test_parts_of_any_size_equal_the_whole() -> None:
    data = random.Random(1).randbytes(700_000)
    whole = crc32c(data)
    assert crc32c(data[300_000:], crc32c(data[:300_000])) == whole
    assert crc32c_parts([data[:5], b"", data[5:400_000], data[400_000:]]) == whole
