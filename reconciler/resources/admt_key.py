"""The command line of ``admt key``."""

from __future__ import annotations

from typing import Literal

from reconciler.core.query import Argument, Command
from reconciler.core.secret import SecretRef, Template

_TIMEOUT_S = 300.0


def key_arguments(
    option: Literal["create", "import"], source_dns: str, key_file: str, key_password: SecretRef
) -> tuple[Argument, ...]:
    """Return the arguments. The password is one of them: ``*`` would ask for it where nobody can answer."""
    return (
        "key",
        f"/option:{option}",
        f"/sourcedomain:{source_dns}",
        f"/keyfile:{key_file}",
        Template(("/keypassword:", key_password)),
    )


def key_command(host: str, program: str, arguments: tuple[Argument, ...]) -> Command:
    """Return the command; its reply may be lost, and then it is not sent again before looking."""
    return Command(host, program, arguments=arguments, native=True, repeatable=False, timeout_s=_TIMEOUT_S)
