"""Pages that a member serves over HTTP/1.1: metrics and health."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from twofold.client.errors import NotConnected

_PAGE_BYTES_MAX = 16 * 1024 * 1024


async def get_page(url: str, path: str, *, timeout_ms: int = 1000) -> tuple[int, str]:
    """Status code and body of a GET at a plain ``http://host:port``.

    Raises:
        NotConnected: no answer, or none in time.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                    "Connection: close\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _read_body(reader, head)
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError, ValueError) as error:
        raise NotConnected(f"no answer from {url}{path}: {error!r}") from error
    return int(head.split(b" ", 2)[1]), body.decode()


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length: int | None = None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    if length is None:
        return await reader.read(_PAGE_BYTES_MAX)
    return await reader.readexactly(min(length, _PAGE_BYTES_MAX))


def samples(page: str) -> dict[str, float]:
    """The samples of a metrics page, by name with labels.

    Shape: ``{'twofold_mode{mode="pair"}': 1.0, ...}``.
    """
    found: dict[str, float] = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found
