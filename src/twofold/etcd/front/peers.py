"""Who is at the other end of a transport."""

from __future__ import annotations

from asyncio import BaseTransport


class TransportPeer:
    """Implements ``port.Peer`` on ``self.transport``."""

    transport: BaseTransport

    @property
    def address(self) -> str:
        """``host:port`` of the client."""
        peername = self.transport.get_extra_info("peername")
        if not isinstance(peername, tuple):
            return ""
        host, port = peername[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_tls(self) -> bool:
        """Whether TLS is spoken."""
        return self.transport.get_extra_info("ssl_object") is not None

    @property
    def common_name(self) -> str | None:
        """Common name of the verified client certificate."""
        certificate = self.transport.get_extra_info("peercert")
        if not certificate:
            return None
        for relative_name in certificate.get("subject", ()):
            for name, value in relative_name:
                if name == "commonName":
                    return str(value)
        return None
