"""Passwords that nobody knows: made up for one account of one run, and never written down."""

from __future__ import annotations

import secrets
import string

LENGTH = 32
# All four classes of a complex password, without signs that one of the protocols on the way has to escape.
CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.+~")


def password() -> str:
    """Return a random password that satisfies the complexity rule: a sign of each class.

    Source: Microsoft, "Password must meet complexity requirements": three of five classes, and no part of the name. A name of
    three letters or more is in 32 random signs by chance in fewer than one of 10,000 cases where it is short.
    """
    every = "".join(CLASSES)
    found = [secrets.choice(signs) for signs in CLASSES]
    found += [secrets.choice(every) for _ in range(LENGTH - len(found))]
    secrets.SystemRandom().shuffle(found)
    return "".join(found)


def unicode_pwd(text: str) -> bytes:
    """Return a password as ``unicodePwd`` takes it: in quotation marks, as UTF-16.

    Source: MS-ADTS 3.1.1.3.1.5.1.
    """
    return f'"{text}"'.encode("utf-16-le")
