"""Posts signed messages to their receivers. A receiver that does not answer costs a few seconds, and never more."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import requests
from pydantic import SecretStr

from reconciler import __version__

SIGNATURE = "X-Reconcile-Signature"
ANSWER_S = 5.0
"""How long all receivers together may hold up whoever delivers."""


def signature(secret: SecretStr, at: datetime, body: bytes) -> str:
    """Return the header that proves a message: ``t=<unix time>,v1=<hex of HMAC-SHA256 over "<t>." and the body>``."""
    moment = str(int(at.timestamp()))
    digest = hmac.new(secret.get_secret_value().encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def post(url: str, body: bytes, sign: str, ca: Path | None = None) -> str:
    """Post one message; return why it was not taken, empty where it was. Nothing that was answered is shown."""
    headers = {"Content-Type": "application/json", "User-Agent": f"reconcile/{__version__}", SIGNATURE: sign}
    with requests.Session() as session:
        session.trust_env = False  # no proxy, and no password from a .netrc
        try:
            with session.post(
                url, data=body, headers=headers, timeout=ANSWER_S, allow_redirects=False, stream=True,
                verify=True if ca is None else str(ca),
            ) as answer:  # fmt: skip
                return "" if 200 <= answer.status_code < 300 else f"it answered {answer.status_code}"
        except (requests.RequestException, OSError, ValueError) as error:
            return type(error).__name__  # the text of the error holds the address, and that may hold a token


def side_by_side(jobs: Sequence[Callable[[], None]], longest_s: float = ANSWER_S) -> None:
    """Run jobs at once and wait for all of them together, but not for longer; what is not through goes on unheard."""
    threads = [threading.Thread(target=job, name="courier", daemon=True) for job in jobs]
    left = threading.Event()
    through = threading.Thread(target=_join, args=(threads, left), name="couriers", daemon=True)
    for thread in threads:
        thread.start()
    through.start()
    left.wait(longest_s)


def _join(threads: Sequence[threading.Thread], left: threading.Event) -> None:
    for thread in threads:
        thread.join()
    left.set()
