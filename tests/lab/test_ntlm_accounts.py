"""The file of accounts that may log on by NTLM follows both directories, and asks them for what changed only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from reconciler.lab.settings import ROLES, Role
from reconciler.lab.supervisor_hosts import NtlmAccounts
from reconciler.lab.windows.contract import DomainFacts, Entry

HASH, OTHER = b"\x11" * 16, b"\x22" * 16


class CountingDirectory:
    """Users with a change number each, as the followed searches see them."""

    def __init__(self, role: Role) -> None:
        self.facts = DomainFacts(role, f"{role}.lab", role.upper(), "S-1-5-21-1-1-1", f"DC={role},DC=lab", "dc", "")
        self.usn = 0
        self.users: dict[str, dict[str, bytes]] = {}
        self.returned: list[str] = []

    def put(self, guid: str, name: str, secret: bytes = HASH, control: int = 512, last_set: int = 1) -> None:
        self.usn += 1
        self.users[guid] = {"objectGUID": guid.encode(), "sAMAccountName": name.encode(), "unicodePwd": secret,
                            "userAccountControl": b"%d" % control, "pwdLastSet": b"%d" % last_set,
                            "uSNChanged": b"%d" % self.usn}  # fmt: skip

    async def search(self, base: str, scope: str, where: str, attributes: Sequence[str]) -> list[Entry]:
        if not base:
            return [Entry("", {"highestCommittedUSN": [b"%d" % self.usn]})]
        found = re.search(r"uSNChanged>=(\d+)", where)
        assert found is not None
        rows = [row for row in self.users.values() if int(row["uSNChanged"]) >= int(found[1])]
        self.returned += [row["sAMAccountName"].decode() for row in rows]
        return [Entry("CN=x", {name: [row[name]] for name in attributes}) for row in rows]


class Followed:
    """Both directories and the file."""

    def __init__(self, directory: Path) -> None:
        self.source, self.target = CountingDirectory("source"), CountingDirectory("target")
        self.file = directory / "ntlm-users"
        bridges = dict(zip(ROLES, (self.source, self.target), strict=True))
        self._accounts = NtlmAccounts(cast("Any", bridges), self.file)

    def names(self) -> dict[str, str]:
        """Refresh; return the hash by the NetBIOS form of the name."""
        asyncio.run(self._accounts.refresh())
        lines = [line.split(":") for line in self.file.read_text("utf-8").splitlines()]
        return {fields[0]: fields[3] for fields in lines if "\\" in fields[0] and ".lab" not in fields[0]}


def test_only_who_changed_is_asked_for_again(tmp_path: Path) -> None:
    lab = Followed(tmp_path)
    for number in range(5):
        lab.source.put(f"guid{number}", f"user{number}")
    lab.target.put("other", "migrator")
    assert len(lab.names()) == 6
    lab.source.returned.clear()
    lab.source.put("guid3", "user3", OTHER)
    names = lab.names()
    assert lab.source.returned == ["user3"]
    assert names[r"SOURCE\user3"] == OTHER.hex().upper()
    assert names[r"SOURCE\user2"] == HASH.hex().upper()
    assert len(names) == 6


def test_renamed_account_leaves_its_old_name(tmp_path: Path) -> None:
    lab = Followed(tmp_path)
    lab.source.put("guid1", "before")
    lab.names()
    lab.source.put("guid1", "after")
    assert set(lab.names()) == {r"SOURCE\after"}


def test_who_may_not_log_on_is_not_in_the_file(tmp_path: Path) -> None:
    lab = Followed(tmp_path)
    lab.source.put("guid1", "disabled")
    lab.source.put("guid2", "expired")
    lab.source.put("guid3", "stays")
    assert len(lab.names()) == 3
    lab.source.put("guid1", "disabled", control=514)
    lab.source.put("guid2", "expired", last_set=0)
    assert set(lab.names()) == {r"SOURCE\stays"}
    lab.source.put("guid1", "disabled")
    assert set(lab.names()) == {r"SOURCE\stays", r"SOURCE\disabled"}
