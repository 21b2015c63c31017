"""Log lines are JSON with etcd's key names."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from twofold.telemetry import logs


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_is_one_json_object() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    structlog.get_logger().info("ready to serve client requests", member="a")
    line = json.loads(stream.getvalue())
    assert line["msg"] == "ready to serve client requests"
    assert (line["level"], line["member"]) == ("info", "a")
    assert "ts" in line


def test_lower_levels_are_dropped() -> None:
    stream = io.StringIO()
    logs.configure("warn", stream)
    structlog.get_logger().info("quiet")
    assert stream.getvalue() == ""


def test_a_traceback_does_not_tell_what_the_variables_hold() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    stored = bytes(reversed(b"terces"))
    try:
        raise ValueError(len(stored))
    except ValueError as error:
        structlog.get_logger().error("internal error", exc_info=error)
    line = json.loads(stream.getvalue())
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "secret" not in stream.getvalue()
