"""Header compression: equal to the library's, and bounded."""

import contextlib

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from twofold.etcd.front.errors import ConnectionFault
from twofold.etcd.front.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM
from twofold.etcd.front.hpack import Decoder, literal

_NAMES = st.sampled_from([b":path", b"token", b"x-long-name", b"te", b"content-type"])
_FIELDS = st.lists(st.tuples(_NAMES, st.binary(max_size=300)), max_size=12)


def _decoder(header_bytes_max: int = 1 << 20) -> Decoder:
    return Decoder(header_bytes_max)


@given(st.lists(_FIELDS, max_size=8), st.booleans(), st.sampled_from([0, 200, 4096]))
def test_blocks_of_the_library_decode_to_their_fields(
    blocks: list[list[tuple[bytes, bytes]]], huffman: bool, table_size: int
) -> None:
    encoder = Encoder()
    encoder.header_table_size = table_size
    decoder = _decoder()
    for fields in blocks:
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == fields


@given(st.binary(max_size=200))
def test_garbage_ends_in_a_connection_fault_or_in_fields(block: bytes) -> None:
    with contextlib.suppress(ConnectionFault):
        _decoder().decode(block)


@given(st.binary(max_size=80), st.binary(max_size=20_000))
def test_literals_read_back(name: bytes, value: bytes) -> None:
    assert _decoder().decode(literal(name, value)) == [(name, value)]


def test_generation_moves_only_with_the_dynamic_table() -> None:
    decoder = _decoder()
    decoder.decode(b"\x82" + literal(b"a", b"b"))
    assert decoder.generation == 0
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.generation == 1
    assert decoder.decode(b"\xbe") == [(b"a", b"b")]
    assert decoder.generation == 1


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # beyond the empty dynamic table
        b"\x7e\x01a",  # a literal whose name is beyond the table
        b"\x82\x20",  # a size update after a field
        b"\x3f\xe2\x1f",  # table size 4097
        b"\x00\x05ab",  # a string cut short
        b"\x00",  # nothing after the first byte
        b"\xff\xff\xff\xff\xff\xff\x7f",  # an integer without end
        b"\x00\x01a\x81\x00",  # Huffman padding that is not all ones
    ],
)
def test_broken_blocks_are_compression_errors(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        _decoder().decode(block)
    assert caught.value.code == COMPRESSION_ERROR


def test_a_small_block_may_not_expand_without_bound() -> None:
    decoder = _decoder(header_bytes_max=10_000)
    decoder.decode(b"\x40\x01a\x7f\x81\x1e" + b"v" * 3968)
    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(b"\xbe" * 1000)
    assert caught.value.code == ENHANCE_YOUR_CALM
