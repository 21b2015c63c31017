"""The command line is read as Go's flag package reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twofold.daemon.errors import ConfigError
from twofold.daemon.flagparse import (
    check_url,
    parse_bool,
    parse_duration_ms,
    parse_texts,
    parse_uint,
    split_arguments,
    split_environment,
)


def _refused(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--name", "a"], {"name": "a"}),
        (["--name=a"], {"name": "a"}),
        (["-name", "a"], {"name": "a"}),
        (["-name=a=b"], {"name": "a=b"}),
        (["--name="], {"name": ""}),
        (["--name", "a", "--name", "b"], {"name": "b"}),
        (["--client-cert-auth"], {"client-cert-auth": "true"}),
        (["--client-cert-auth=false"], {"client-cert-auth": "false"}),
        (["--client-cert-auth", "--name=a"], {"client-cert-auth": "true", "name": "a"}),
        (["--name", "--odd"], {"name": "--odd"}),
        (["--name", "a", "--"], {"name": "a"}),
        (["-h"], {"h": "true"}),
        ([], {}),
    ],
)
def test_the_forms_of_a_flag(words: list[str], found: dict[str, str]) -> None:
    assert split_arguments(words) == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["name"], "'name' is not a flag"),
        (["--client-cert-auth", "true"], "'true' is not a flag"),
        (["---name=a"], "bad flag syntax"),
        (["--=a"], "bad flag syntax"),
        (["--name"], "--name needs a text"),
        (["--snapshot-count"], "--snapshot-count needs a whole number"),
        (["--", "x"], "'x' is not a flag"),
        (["--nmae=a"], r"unknown flag --nmae; did you mean --name\?"),
        (["--listen-client-url=a"], "did you mean --listen-client-urls"),
        (["--qqqqqqqqqq"], r"unknown flag --qqqqqqqqqq \(see"),
    ],
)
def test_a_bad_command_line_says_what_is_wrong(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_arguments(words)


@pytest.mark.parametrize(
    ("text", "value_ms"),
    [
        ("0", 0),
        ("0s", 0),
        ("300ms", 300),
        ("5s", 5000),
        ("1.5s", 1500),
        (".5s", 500),
        ("1h30m", 5_400_000),
        ("2m3.5s", 123_500),
        ("-1s", -1000),
        ("+1s", 1000),
        ("10us", 1),
        ("5000000000ns", 5000),
    ],
)
def test_durations(text: str, value_ms: int) -> None:
    assert parse_duration_ms(text) == value_ms


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5sec", "1h-5m", "-", "1..5s"])
def test_no_durations(text: str) -> None:
    assert _refused(parse_duration_ms, text)


def test_booleans_are_gos() -> None:
    assert [parse_bool(text) for text in ("1", "t", "TRUE", "True")] == [True] * 4
    assert [parse_bool(text) for text in ("0", "F", "false")] == [False] * 3
    assert all(_refused(parse_bool, text) for text in ("yes", "", "tRUE"))


def test_whole_numbers_are_gos() -> None:
    assert parse_uint("10000") == 10000
    assert parse_uint("0x10") == 16
    assert parse_uint("010") == 8
    assert all(_refused(parse_uint, text) for text in ("-1", "1.5", "", "ten"))


def test_lists_lose_doubles_and_blanks() -> None:
    assert parse_texts("b, a,,b") == ("b", "a")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:2379", "must begin with http"),
        ("unix://a:1", "must begin with http"),
        ("http://localhost", "scheme://host:port"),
        ("http://:2379", "scheme://host:port"),
        ("http://a:2379/x", "must not have a path"),
        ("http://a:99999", "is not a URL"),
        ("http://[::1:2379", "is not a URL"),
    ],
)
def test_a_bad_url_says_what_it_lacks(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_url(url)


def test_a_good_url_loses_its_last_slash() -> None:
    assert check_url("https://[::1]:2379/") == "https://[::1]:2379"


def test_our_variable_wins_over_etcds() -> None:
    found, strange = split_environment(
        {"ETCD_NAME": "a", "TWOFOLD_NAME": "b", "ETCD_DATA_DIR": "/d", "HOME": "/"}
    )
    assert found == {"name": "b", "data-dir": "/d"}
    assert strange == []


def test_an_unknown_etcd_variable_is_reported() -> None:
    assert split_environment({"ETCD_NMAE": "a", "TWOFOLD_SEED": "1"}) == (
        {},
        ["ETCD_NMAE"],
    )


def test_an_empty_variable_says_nothing() -> None:
    assert split_environment({"ETCD_NAME": ""}) == ({}, [])
