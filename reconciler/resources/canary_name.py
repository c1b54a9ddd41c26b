"""What throw-away accounts are called, so that nobody takes one for a person: neither a population nor somebody who finds it."""

from __future__ import annotations

import hashlib
import re

PREFIX = "rc-canary-"
_NAME = re.compile(r"rc-canary-[0-9a-f]{6}", re.IGNORECASE)


def is_canary(name: str) -> bool:
    """Return whether a sAMAccountName is that of a throw-away account."""
    return _NAME.fullmatch(name) is not None


def name_of(source_dns: str, target_dns: str, number: int) -> str:
    """Return the name for one try; 16 characters, and another one for each try."""
    digest = hashlib.sha256(f"{source_dns.casefold()}/{target_dns.casefold()}/{number}".encode())
    return PREFIX + digest.hexdigest()[:6]
