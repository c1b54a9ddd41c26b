"""A TCP connection inside TLS that takes what is there at once.

``ssl.SSLSocket`` asks the kernel twice for each record, and a directory may send a record for each entry: that costs as much as
deciphering them. Here OpenSSL works on what was received before (``ssl.MemoryBIO``), as it does below asyncio.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

_CHUNK, _RECORD = 1 << 18, 1 << 14


class TlsStream:
    """What ldap3 and those who read for themselves need of a socket. Not safe for several threads.

    Args:
        plain: Connected; belongs to this from now on.
        context: Says what is demanded of the other side's certificate.
        name: What that must be valid for.

    Raises:
        OSError: The handshake failed; ``ssl.SSLError`` where TLS says why.
    """

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._plain = plain
        if plain.family in (socket.AF_INET, socket.AF_INET6):
            # Else the first request waits for the end of the handshake to be acknowledged, which the other side puts off for 40 ms.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._come, self._go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._go, server_hostname=name)
        self._shake_hands()

    def recv(self, most: int) -> bytes:
        """Return some bytes, at most one record of them; none where the other side has ended it."""
        while True:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                self._fetch()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def take(self, buffer: bytearray, most: int) -> None:
        """Add what is there, record after record, up to ``most`` bytes and a part of the last; nothing where the other side has ended it.

        Raises:
            BlockingIOError: Nothing is there, and nothing is waited for.
        """
        window, at = memoryview(bytearray(most + _RECORD)), 0
        read: Any = self._tls.read  # into any buffer, which its types do not know
        while at < most:
            try:
                count: int = read(_RECORD, window[at:])
            except ssl.SSLWantReadError:
                try:
                    self._fetch()
                except BlockingIOError:
                    if at == 0:
                        raise
                    break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                break
            else:
                if count == 0:  # an orderly end
                    break
                at += count
        buffer += window[:at]

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            try:
                left = left[self._tls.write(left) :]
            except ssl.SSLWantReadError:  # new keys are agreed on
                self._fetch()
            self._flush()

    def pending(self) -> int:
        """Return how many bytes were received and not yet read."""
        return self._tls.pending() or self._come.pending

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the other side's certificate as ``ssl.SSLSocket`` does."""
        return self._tls.getpeercert(binary_form)

    def version(self) -> str | None:
        """Return the version of TLS."""
        return self._tls.version()

    def fileno(self) -> int:
        """Return the descriptor, for ``select``: it does not know of what is pending."""
        return self._plain.fileno()

    def gettimeout(self) -> float | None:
        """Return how many seconds the kernel is waited for."""
        return self._plain.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        """Wait so long for the kernel; with 0, nothing there raises ``BlockingIOError``."""
        self._plain.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Set an option of the socket below."""
        self._plain.setsockopt(level, option, value)

    def shutdown(self, how: int) -> None:
        """Shut down the socket below."""
        self._plain.shutdown(how)

    def close(self) -> None:
        """Close the socket below."""
        self._plain.close()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._fetch()
            except ssl.SSLError:
                self._flush()  # so that the other side is told why
                raise
            else:
                self._flush()
                return

    def _fetch(self) -> None:
        """Wait for bytes; say what OpenSSL has to say first."""
        self._flush()
        data = self._plain.recv(_CHUNK)
        if data:
            self._come.write(data)
        else:
            self._come.write_eof()

    def _flush(self) -> None:
        if self._go.pending:
            self._plain.sendall(self._go.read())
