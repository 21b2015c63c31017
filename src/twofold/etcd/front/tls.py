"""TLS contexts whose certificate files may change while the server runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twofold.etcd.front.errors import CertificateError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; ``require_client_cert`` needs ``ca``."""

    cert: Path
    key: Path
    ca: Path | None = None
    require_client_cert: bool = False


Report = Callable[[str], None]
_Stamp = tuple[tuple[int, int, int], ...]


class ReloadingContext:
    """A server context that each handshake sees with the newest files.

    ``context`` is what listeners get. It never serves a certificate older than the
    files, except when the new files are broken: then the old ones stay in use and
    ``report`` hears of it once.
    Raises: CertificateError if the first files are unusable.
    """

    def __init__(self, files: TlsFiles, report: Report) -> None:
        self._files = files
        self._report = report
        self._stamp = _stamp(files)
        self.newest = _build(files)
        self.context = _build(files)
        self.context.sni_callback = self._at_handshake

    def _at_handshake(
        self,
        connection: ssl.SSLSocket | ssl.SSLObject,
        _server_name: str | None,
        _context: ssl.SSLContext,
    ) -> None:
        # OpenSSL asks at every ClientHello, with a server name or without.
        self.refresh()
        connection.context = self.newest

    def refresh(self) -> None:
        """Read the files again if they changed."""
        try:
            stamp = _stamp(self._files)
            if stamp == self._stamp:
                return
            # Remembered first: a broken set is reported once, not per handshake.
            self._stamp = stamp
            self.newest = _build(self._files)
        except CertificateError as error:
            self._report(str(error))


def _stamp(files: TlsFiles) -> _Stamp:
    stamps = []
    for path in (files.cert, files.key, files.ca):
        if path is not None:
            try:
                status = path.stat()
            except OSError:
                # A file being replaced; it counts as changed when it is back.
                stamps.append((0, 0, 0))
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


def _build(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    # A resumed session would skip the check against a changed CA.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    if files.require_client_cert and files.ca is None:
        raise CertificateError("client certificates are required but no CA is given")
    try:
        context.load_cert_chain(files.cert, files.key)
        if files.ca is not None:
            context.load_verify_locations(files.ca)
    except OSError as error:
        raise CertificateError(f"cannot use {files.cert}: {error}") from error
    if files.require_client_cert:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
