"""Tell systemd how a service is: ready, reloading, stopping, and alive. Without ``NOTIFY_SOCKET`` nothing is told.

The law: a sign of life is sent only by what really works, and a long wait says beforehand how long it may be.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

EVERY_S = 1.0
"""Signs of life are sent at most so often."""


class Notifier:
    """The service's side of sd_notify(3). Safe to use from several threads."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog = environment.get("WATCHDOG_USEC", "") if ours and address else ""
        self._usual_us = int(watchdog) if watchdog.isdecimal() else 0
        self._asked_us = self._usual_us
        self._waits: list[int] = []
        self._beat_at = 0.0
        self._lock = threading.Lock()

    def say(self, *lines: str) -> None:
        """Send one message, such as ``READY=1``; a manager that does not listen changes nothing."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode(), self._address)

    def status(self, text: str) -> None:
        """Say in one line what is going on."""
        self.say("STATUS=" + " ".join(text.split()))

    def reloading(self) -> None:
        """Say that the configuration is being read again; ``READY=1`` ends it."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def beat(self) -> None:
        """Give a sign of life: to be called by the loop that works, wherever it comes past."""
        now = time.monotonic()
        with self._lock:
            if not self._usual_us or now - self._beat_at < EVERY_S:
                return
            self._beat_at = now
        self.say("WATCHDOG=1")

    @contextmanager
    def waiting(self, longest_s: float) -> Iterator[None]:
        """Wait for something out there, for so long at most: a hang is noticed after that, and no sooner."""
        wait = int(longest_s * 1e6)
        with self._lock:
            self._waits.append(wait)
        self._extend()
        try:
            yield
        finally:
            with self._lock:
                self._waits.remove(wait)
            self._extend()

    def _extend(self) -> None:
        """Let systemd wait for the longest of what is waited for, and no longer than usual where there is none."""
        with self._lock:
            wanted = max([self._usual_us, *self._waits])
            news = bool(self._usual_us) and wanted != self._asked_us
            if news:
                self._asked_us = wanted
                self.say(f"WATCHDOG_USEC={wanted}", "WATCHDOG=1")
        if not news:
            self.beat()
