"""Keep the libraries at the edge from logging what they send and receive: their DEBUG lines hold whole messages."""

from __future__ import annotations

import logging

LIBRARIES = ("ldap3", "pypsrp", "psrpcore", "spnego", "requests", "urllib3", "gssapi", "krb5")


def quiet_libraries() -> None:
    """Pin the libraries to WARNING, whatever the root logger is set to."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not logger.handlers:
            # Without any handler Python prints warnings to stderr by itself.
            logger.addHandler(logging.NullHandler())
