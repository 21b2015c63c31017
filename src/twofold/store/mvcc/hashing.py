"""etcd's hashes of the store, and CRC-32C in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twofold.store.backend.port import Backend, Pair
from twofold.store.mvcc.revision import first_of, is_tombstone, main_of

_POLYNOMIAL = 0x1EDC6F41
_BLOCK_BYTES = 1 << 18
_KEYS = b"key"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32c(data: bytes, seed: int = 0) -> int:
    """CRC-32C (Castagnoli); ``seed`` is the checksum of what came before.

    Works on whole blocks as polynomials over GF(2), held in Python's integers:
    the upper part of n bits is folded onto the lower one by multiplying it with
    x^k mod P, a 32-bit constant, hence at most 32 shifts and xors of long
    integers in C instead of one table look-up a byte.
    """
    return crc32c_parts([data], seed)


def crc32c_parts(parts: Iterable[bytes], seed: int = 0) -> int:
    """CRC-32C of the concatenation of ``parts``."""
    register = seed ^ 0xFFFFFFFF
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            register = _block(b"".join(waiting), register)
            waiting, size = [], 0
    return _block(b"".join(waiting), register) ^ 0xFFFFFFFF


def _block(data: bytes, register: int) -> int:
    """The register after ``data``; both in the reflected form of CRC-32C."""
    if not data:
        return register
    # The message polynomial has its first bit highest: reflect every byte. The
    # register is added to the first 32 bits, then 32 zero bits are appended.
    bits = 8 * len(data)
    message = int.from_bytes(data.translate(_REVERSED), "big") << 32
    message ^= _reflect(register) << bits
    return _reflect(_remainder(message, bits + 32))


def _remainder(message: int, bits: int) -> int:
    while bits > 64:
        # Halve: message = high * x^low + rest, and x^low mod P is small.
        low = (bits + 32) // 2
        high = message >> low
        message ^= high << low
        for shift in _power_bits(low):
            message ^= high << shift
        bits = max(low, bits - low + 32)
    for bit in range(bits - 1, 31, -1):
        if message >> bit & 1:
            message ^= (_POLYNOMIAL | 1 << 32) << (bit - 32)
    return message


_POWERS: dict[int, tuple[int, ...]] = {}


def _power_bits(exponent: int) -> tuple[int, ...]:
    """The set bits of x^exponent mod P."""
    known = _POWERS.get(exponent)
    if known is None:
        power = _power(exponent)
        known = tuple(bit for bit in range(32) if power >> bit & 1)
        if len(_POWERS) > 4096:
            _POWERS.clear()
        _POWERS[exponent] = known
    return known


def _power(exponent: int) -> int:
    if exponent == 0:
        return 1
    half = _power(exponent // 2)
    square = 0
    for bit in range(32):
        if half >> bit & 1:
            square ^= half << bit
    if exponent % 2:
        square <<= 1
    for bit in range(square.bit_length() - 1, 31, -1):
        if square >> bit & 1:
            square ^= (_POLYNOMIAL | 1 << 32) << (bit - 32)
    return square


def _reflect(value: int) -> int:
    return int(f"{value:032b}"[::-1], 2)


def hash_kv(
    pairs: Iterable[Pair], visible: set[bytes], compact_revision: int, revision: int
) -> int:
    """CRC-32C over the `key` map as of ``revision``.

    What compaction may already have removed does not count, so that members
    hash alike however far their removal has come. Source: etcd, mvcc/hash.go.
    """

    def counted() -> Iterator[bytes]:
        yield _KEYS
        stop = first_of(revision + 1)
        kept_from = first_of(compact_revision + 1) if compact_revision > 0 else b""
        for rev_key, data in pairs:
            if rev_key >= stop:
                return
            if rev_key < kept_from and rev_key not in visible:
                continue
            if is_tombstone(rev_key) and main_of(rev_key) == compact_revision:
                continue
            yield rev_key
            yield data

    return crc32c_parts(counted())


def hash_nothing() -> int:
    """`hash_kv` before the first revision."""
    return crc32c(_KEYS)


def hash_all(backend: Backend) -> int:
    """CRC-32C over all three maps."""

    def everything() -> Iterator[bytes]:
        yield _KEYS
        for pair in backend.scan(b"", None):
            yield from pair
        yield b"lease"
        for pair in sorted(backend.leases().items()):
            yield from pair
        yield b"meta"
        for name, value in sorted(backend.metas().items()):
            yield name.encode()
            yield value

    return crc32c_parts(everything())
