"""Which request heads are well formed, and what is taken from them."""

import pytest

from twofold.etcd.front.errors import MalformedHead
from twofold.etcd.front.requests import (
    BAD_GRPC,
    GRPC,
    NOT_GRPC,
    check_trailers,
    parse_head,
    parse_timeout_ms,
)

_GOOD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C")]


def test_the_first_value_of_wanted_metadata_is_kept() -> None:
    extra = [(b"token", b"one"), (b"token", b"two"), (b"x-other", b"x")]
    head = parse_head(_GOOD + extra)
    assert head.metadata == {b"token": b"one"}
    assert (head.method, head.path) == (b"POST", b"/a.B/C")


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"application/grpc", GRPC),
        (b"application/grpc+proto", GRPC),
        (b"application/grpc;charset=x", GRPC),
        (b"application/grpc+json", BAD_GRPC),
        (b"application/grpc-web", BAD_GRPC),
        (b"application/json", NOT_GRPC),
    ],
)
def test_content_type_says_what_is_spoken(content_type: bytes, kind: int) -> None:
    assert parse_head([*_GOOD, (b"content-type", content_type)]).grpc == kind


@pytest.mark.parametrize(
    "fields",
    [
        _GOOD[1:],
        _GOOD[:2],
        [*_GOOD, (b":path", b"/again")],
        [*_GOOD, (b":unknown", b"x")],
        [*_GOOD, (b"x", b"y"), (b":authority", b"late")],
        [*_GOOD[:2], (b":path", b"")],
        [*_GOOD, (b"connection", b"close")],
        [*_GOOD, (b"Upper", b"case")],
        [*_GOOD, (b"te", b"gzip")],
        [*_GOOD, (b"a b", b"space")],
        [*_GOOD, (b"", b"nameless")],
        [*_GOOD, (b"token", b"a\r\nb")],
        [*_GOOD, (b"content-length", b"-1")],
        [*_GOOD, (b"content-length", b"9" * 19)],
    ],
)
def test_malformed_heads_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedHead):
        parse_head(fields)


def test_trailers_have_no_pseudo_headers() -> None:
    check_trailers([(b"x", b"y")])
    with pytest.raises(MalformedHead):
        check_trailers([(b":path", b"/")])


@pytest.mark.parametrize(
    ("value", "timeout_ms"),
    [
        (b"5S", 5000),
        (b"2M", 120_000),
        (b"1H", 3_600_000),
        (b"7m", 7),
        (b"1500u", 2),
        (b"1n", 1),
        (b"0m", 0),
        (b"", None),
        (b"S", None),
        (b"5", None),
        (b"5x", None),
        (b"123456789m", None),
        (b"-5m", None),
    ],
)
def test_timeouts_are_rounded_up_or_malformed(
    value: bytes, timeout_ms: int | None
) -> None:
    assert parse_timeout_ms(value) == timeout_ms


def test_a_timeout_leaves_the_shared_head_alone() -> None:
    head = parse_head(_GOOD)
    timed = head.with_timeout(b"3S")
    assert (timed.timeout_ms, head.timeout_ms) == (3000, None)
    assert timed.path == head.path
