"""Header compression (RFC 7541) on the tables of the ``hpack`` library.

The decoder is our own because the library's costs more than all the rest of a
request; the encoder writes literals only and so needs no state.
"""

from __future__ import annotations

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from twofold.etcd.front.errors import ConnectionFault
from twofold.etcd.front.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM

Field = tuple[bytes, bytes]

_STATIC: list[Field] = [(b"", b"")] + [
    (bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE
]
_STATIC_COUNT = 61
_TABLE_BYTES_MAX = 4096
_ENTRY_OVERHEAD_BYTES = 32
# Cannot expand to more than 256 KiB, and is what most requests send.
_SMALL_BLOCK_BYTES = 64
_INTEGER_SHIFT_MAX = 21
_HUFFMAN_CACHE_COUNT_MAX = 4096
_HUFFMAN_CACHE_BYTES_MAX = 128

_huffman_cache: dict[bytes, bytes] = {}


def _fault(reason: str) -> ConnectionFault:
    return ConnectionFault(COMPRESSION_ERROR, reason)


def _huffman(raw: bytes) -> bytes:
    value = _huffman_cache.get(raw)
    if value is None:
        try:
            value = bytes(decode_huffman(raw))
        except HPACKError as error:
            raise _fault("invalid Huffman code") from error
        if len(raw) < _HUFFMAN_CACHE_BYTES_MAX:
            if len(_huffman_cache) >= _HUFFMAN_CACHE_COUNT_MAX:
                _huffman_cache.clear()
            _huffman_cache[raw] = value
    return value


class Decoder:
    """Decodes the header blocks of one connection, in order.

    ``generation`` changes whenever the dynamic table does: while it stands still,
    equal blocks mean equal fields.
    """

    __slots__ = ("_capacity", "_header_bytes_max", "_size", "_table", "generation")

    def __init__(self, header_bytes_max: int) -> None:
        self.generation = 0
        self._table: list[Field] = []  # oldest first, index 62 is the last
        self._size = 0
        self._capacity = _TABLE_BYTES_MAX
        self._header_bytes_max = header_bytes_max

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a block.

        Raises: ConnectionFault, after which the decoder is unusable.
        """
        fields: list[Field] = []
        add = fields.append
        table = self._table
        i = 0
        end = len(block)
        try:
            while i < end:
                first = block[i]
                if first >= 0x80:
                    if first < 0xFF:
                        index = first & 0x7F
                        i += 1
                    else:
                        index, i = _integer(block, i, 0x7F)
                    # _entry, in place: this is most of all fields.
                    if index > _STATIC_COUNT:
                        index -= _STATIC_COUNT
                        if index > len(table):
                            raise _fault("index beyond the table")
                        field = table[-index]
                    elif index:
                        field = _STATIC[index]
                    else:
                        raise _fault("index 0")
                elif first & 0xE0 == 0x20:
                    if fields:
                        raise _fault("table size update after a field")
                    size, i = _integer(block, i, 0x1F)
                    self._resize(size)
                    continue
                else:
                    field, i = self._literal(block, i, first)
                add(field)
        except IndexError as error:
            raise _fault("header block cut short") from error
        if end > _SMALL_BLOCK_BYTES:
            self._check_size(fields)
        return fields

    def _check_size(self, fields: list[Field]) -> None:
        # Fields of the table are shared until here, so even a block that is all
        # indexes has cost little; what handlers make of them must stay bounded.
        size = sum(len(name) + len(value) for name, value in fields)
        if size + len(fields) * _ENTRY_OVERHEAD_BYTES > self._header_bytes_max:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "header list too large")

    def _literal(self, block: bytes, i: int, first: int) -> tuple[Field, int]:
        indexed = first & 0x40
        mask = 0x3F if indexed else 0x0F
        index = first & mask
        if index == mask:
            index, i = _integer(block, i, mask)
        else:
            i += 1
        if index:
            name = self._entry(index)[0]
        else:
            name, i = _string(block, i)
        value, i = _string(block, i)
        field = (name, value)
        if indexed:
            self.generation += 1
            self._table.append(field)
            self._size += len(name) + len(value) + _ENTRY_OVERHEAD_BYTES
            if self._size > self._capacity:
                self._evict()
        return field, i

    def _entry(self, index: int) -> Field:
        if index > _STATIC_COUNT:
            index -= _STATIC_COUNT
            if index > len(self._table):
                raise _fault("index beyond the table")
            return self._table[-index]
        if index == 0:
            raise _fault("index 0")
        return _STATIC[index]

    def _resize(self, size: int) -> None:
        if size > _TABLE_BYTES_MAX:
            raise _fault("table size above the setting")
        self._capacity = size
        self.generation += 1
        self._evict()

    def _evict(self) -> None:
        table = self._table
        count = 0
        while self._size > self._capacity:
            name, value = table[count]
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD_BYTES
            count += 1
        del table[:count]


def _integer(block: bytes, i: int, mask: int) -> tuple[int, int]:
    value = block[i] & mask
    i += 1
    if value == mask:
        shift = 0
        while True:
            octet = block[i]
            i += 1
            value += (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
            if shift > _INTEGER_SHIFT_MAX:
                raise _fault("integer too large")
    return value, i


def _string(block: bytes, i: int) -> tuple[bytes, int]:
    first = block[i]
    length = first & 0x7F
    if length == 0x7F:
        length, i = _integer(block, i, 0x7F)
    else:
        i += 1
    end = i + length
    if end > len(block):
        raise _fault("string cut short")
    raw = block[i:end]
    return (_huffman(raw) if first & 0x80 else raw), end


def literal(name: bytes, value: bytes) -> bytes:
    """A field as literal without indexing, for blocks the server sends."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(length: int) -> bytes:
    if length < 0x7F:
        return bytes((length,))
    out = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)
