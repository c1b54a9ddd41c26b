"""Usernames and passwords of the state file, looked up at the moment they are sent, and kept out of every text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace
from pydantic import SecretStr

from reconciler.core.query import Argument
from reconciler.core.secret import CredentialPart, Generated, SecretRef, Template
from reconciler.core.steps import AddEntry, Values
from reconciler.core.targets import Targets
from reconciler.edge.generated import unicode_pwd


class Vault(Protocol):
    """What opens references to secrets."""

    def reveal(self, ref: SecretRef | Generated) -> SecretStr:
        """Return the value; a generated one is made up when it is first asked for.

        Raises:
            SecretUnavailable: The reference points at nothing that can be read.
        """
        ...

    def forget_generated(self) -> None:
        """Forget every generated password."""
        ...

    def scrub(self, text: str) -> str:
        """Strike out of a text whatever was revealed so far."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """A logon, opened. Never shown, never compared."""

    name: str  # of the credential in the state file
    username: str
    password: SecretStr = field(repr=False)

    def principal(self, realms: Mapping[str, str]) -> str:
        """Return the Kerberos principal.

        Args:
            realms: NetBIOS names and DNS names of domains, in upper case, with their realm.
        """
        if "\\" in self.username:
            prefix, _, user = self.username.partition("\\")
            return f"{user}@{realms.get(prefix.upper(), prefix.upper())}"
        user, sign, suffix = self.username.rpartition("@")
        if not sign:
            return self.username
        return f"{user}@{realms.get(suffix.upper(), suffix)}"


class Accounts:
    """Opens credentials, and arguments of commands."""

    def __init__(self, targets: Targets, vault: Vault) -> None:
        self._targets = targets
        self._vault = vault
        self.realms = {
            name.upper(): domain.dns.rstrip(".").upper()
            for domain in targets.domains.values()
            for name in (domain.netbios, domain.dns.rstrip("."))
        }

    def account(self, name: str) -> Account:
        """Open a credential of the state file."""
        credential = self._targets.credentials[name]
        return Account(name, credential.username, SecretStr(self._open(credential.password)))

    def generated(self, domain: str, name: str, password: Generated) -> Account:
        """Open the logon of an account whose password was generated."""
        username = f"{self._targets.domains[domain].netbios}\\{name}"
        return Account(str(password), username, self._vault.reveal(password))

    def opened(self, effect: AddEntry) -> AddEntry:
        """Return an entry with generated passwords in their places."""
        return replace(effect, attributes=tuple((name, self._values(values)) for name, values in effect.attributes))

    def _values(self, values: Values) -> Values:
        return tuple(unicode_pwd(self._open(value)) if isinstance(value, Generated) else value for value in values)

    def forget_generated(self) -> None:
        """Forget every generated password."""
        self._vault.forget_generated()

    def plain(self, value: Argument) -> object:
        """Return an argument with every reference replaced by its value; lists for tuples, dicts for mappings."""
        if isinstance(value, SecretRef):
            return self._open(value)
        if isinstance(value, CredentialPart):
            return self._part(value)
        if isinstance(value, Template):
            return "".join(part if isinstance(part, str) else str(self.plain(part)) for part in value.parts)
        if isinstance(value, tuple):
            return [self.plain(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self.plain(item) for key, item in value.items()}
        return value

    def scrub(self, text: str) -> str:
        """Strike out of a text whatever was opened so far."""
        return self._vault.scrub(text)

    def _part(self, part: CredentialPart) -> str:
        credential = self._targets.credentials[part.credential]
        return credential.username if part.part == "username" else self._open(credential.password)

    def _open(self, ref: SecretRef | Generated) -> str:
        return self._vault.reveal(ref).get_secret_value()


def holds_secret(value: Argument) -> bool:
    """Return whether an argument holds a secret; a username is none."""
    if isinstance(value, SecretRef):
        return True
    if isinstance(value, CredentialPart):
        return value.part == "password"
    if isinstance(value, Template):
        return any(holds_secret(part) for part in value.parts)
    if isinstance(value, tuple):
        return any(holds_secret(item) for item in value)
    if isinstance(value, Mapping):
        return any(holds_secret(item) for item in value.values())
    return False
