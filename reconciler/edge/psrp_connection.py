"""The one place that opens WinRM connections: HTTPS with the name checked, or HTTP with encrypted messages; never Basic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from reconciler.edge.accounts import Account

if TYPE_CHECKING:
    from pypsrp.wsman import WSMan

CONNECT_TIMEOUT_S = 10
OPERATION_TIMEOUT_S = 20
READ_TIMEOUT_S = 30  # longer than the operation's, or the answer to an idle Receive is missed


class Gate(Struct, frozen=True):
    """How a host is entered.

    Attributes:
        host: Name of the host in the state file, for messages.
        name: Its DNS name: what its certificate and its Kerberos ticket must be for.
        address: Where to connect.
        ca: CA certificates (PEM); None for those of the system.
        port: 5986 for https and 5985 for http where None.
    """

    host: str
    name: str
    address: str
    ca: Path | None
    transport: Literal["https", "http"] = "https"
    auth: Literal["kerberos", "ntlm", "negotiate"] = "kerberos"
    port: int | None = None
    configuration: str = "Microsoft.PowerShell"


def open_wsman(gate: Gate, account: Account, principal: str) -> WSMan:
    """Return a connection that has not sent anything yet.

    Args:
        principal: The username to use where Kerberos is asked for.
    """
    from pypsrp.wsman import WSMan

    https = gate.transport == "https"
    wsman = WSMan(
        gate.address,
        port=gate.port,
        username=principal if gate.auth == "kerberos" else account.username,
        password=account.password.get_secret_value(),
        ssl=https,
        auth=gate.auth,
        encryption="auto" if https else "always",
        cert_validation=True if gate.ca is None else str(gate.ca),  # type: ignore[arg-type]  # a path is documented
        connection_timeout=CONNECT_TIMEOUT_S,
        operation_timeout=OPERATION_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        reconnection_retries=0,
        no_proxy=True,
        negotiate_hostname_override=gate.name,
        negotiate_delegate=False,
    )
    _pin(wsman, gate)
    return wsman


def _pin(wsman: WSMan, gate: Gate) -> None:
    """Let TLS ask for, and check, the name of the host although the connection goes to its address.

    Decision 0002 says why it is done here. A redirect could lead the credentials elsewhere, so none is followed.
    """
    session = wsman.transport._build_session()
    adapter = session.get_adapter(wsman.transport.endpoint)
    # For plain http urllib3 drops this key by itself.
    adapter.poolmanager.connection_pool_kw["server_hostname"] = gate.name  # type: ignore[attr-defined]  # an HTTPAdapter
    session.max_redirects = 0
    session.trust_env = False
    wsman.transport.session = session
