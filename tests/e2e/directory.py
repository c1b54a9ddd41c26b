"""A directory of the lab, asked and changed with OpenLDAP's own clients."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Entry = dict[str, list[bytes]]

# LDAP_SERVER_SD_FLAGS_OID with the flags 7: owner, group, DACL.
DESCRIPTOR_PARTS = "!1.2.840.113556.1.4.801=::MAMCAQc="


@dataclass(frozen=True)
class Directory:
    """One domain, as its administrator sees it over LDAPS."""

    dns: str
    netbios: str
    base_dn: str
    sid: str
    url: str
    ca: Path
    admin: str
    password_file: Path

    @classmethod
    def of(cls, document: dict[str, Any]) -> Directory:
        """Read one domain of lab.json."""
        return cls(
            dns=document["dns"], netbios=document["netbios"], base_dn=document["base_dn"], sid=document["sid"], url=document["ldaps"],
            ca=Path(document["ca_file"]), admin=document["admin"], password_file=Path(document["admin_password_file"]),
        )  # fmt: skip

    def search(
        self, base: str, expression: str = "(objectClass=*)", *attributes: str, scope: str = "sub", control: str = ""
    ) -> list[Entry]:
        """Search; an attribute's values are bytes, and ``dn`` is one of them."""
        extra = ["-E", control] if control else []
        command = ["ldapsearch", "-LLL", "-o", "ldif-wrap=no", *extra, "-b", base, "-s", scope, expression, *attributes]
        return [entry for block in self._call(*command).split("\n\n") if (entry := _entry(block))]

    def one(self, base: str, expression: str, *attributes: str) -> Entry:
        """Search for exactly one entry."""
        found = self.search(base, expression, *attributes)
        assert len(found) == 1, f"{expression} in {self.dns}: {len(found)}"
        return found[0]

    def modify(self, ldif: str) -> None:
        """Carry out LDIF changes."""
        self._call("ldapmodify", text=ldif)

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self.modify(f"{ldif_line('dn', dn)}changetype: delete\n")

    def change(self, dn: str, action: str, attribute: str, *values: str) -> None:
        """``add`` or ``delete`` values of one attribute."""
        lines = "".join(ldif_line(attribute, value) for value in values)
        self.modify(f"{ldif_line('dn', dn)}changetype: modify\n{action}: {attribute}\n{lines}-\n")

    def set_password(self, dn: str, password: str) -> None:
        """Set a password, as an administrator does."""
        quoted = ldif_line("unicodePwd", f'"{password}"'.encode("utf-16-le"))
        self.modify(f"{ldif_line('dn', dn)}changetype: modify\nreplace: unicodePwd\n{quoted}-\n")

    def usn(self) -> int:
        """Return the change counter."""
        return int(self.search("", "(objectClass=*)", "highestCommittedUSN", scope="base")[0]["highestCommittedUSN"][0])

    def now(self) -> datetime:
        """Return what time it is there, in whole seconds."""
        found = self.search("", "(objectClass=*)", "currentTime", scope="base")[0]["currentTime"][0].decode()
        return datetime.strptime(found, "%Y%m%d%H%M%S.0Z").replace(tzinfo=UTC)

    def wait_for_another_time(self) -> None:
        """Wait until an edit can be told from what was written before: a directory tells whole seconds."""
        first = self.now()
        while (self.now() - first).total_seconds() < 3:
            pass

    def security_descriptor(self, dn: str) -> bytes:
        """Return owner, group and DACL of an object."""
        entry = self.search(dn, "(objectClass=*)", "nTSecurityDescriptor", scope="base", control=DESCRIPTOR_PARTS)[0]
        return entry["nTSecurityDescriptor"][0]

    def can_log_on(self, name: str, password: str) -> bool:
        """Log on over LDAPS with a name that has no domain yet."""
        command = ["ldapwhoami", "-x", "-H", self.url, "-D", f"{self.netbios}\\{name}", "-w", password]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment())
        # Samba does not know this operation, but says so only to those who got in.
        return finished.returncode == 0 or "1.3.6.1.4.1.4203" in finished.stderr or "Protocol error" in finished.stderr

    def _call(self, program: str, *arguments: str, text: str | None = None) -> str:
        command = [program, "-x", "-H", self.url, "-D", self.admin, "-y", str(self.password_file), *arguments]
        finished = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=self._environment()
        )
        assert finished.returncode == 0, f"{program}: {finished.stderr}"
        return finished.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LDAPTLS_CACERT": str(self.ca), "LDAPRC": os.devnull}


def ldif_line(attribute: str, value: str | bytes) -> str:
    """Return one line of LDIF that holds any value."""
    raw = value.encode() if isinstance(value, str) else value
    return f"{attribute}:: {base64.b64encode(raw).decode()}\n"


def _entry(block: str) -> Entry:
    entry: Entry = {}
    for line in block.splitlines():
        name, sign, value = line.partition(":")
        if sign and not line.startswith("#"):
            encoded = value.startswith(":")
            entry.setdefault(name, []).append(base64.b64decode(value[1:]) if encoded else value[1:].encode())
    return entry if "dn" in entry else {}
