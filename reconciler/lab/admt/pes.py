"""The Password Export Server on a source controller: what its package puts there, and whether it would answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.lab.admt.keyfile import EncryptionKey, InvalidKeyPassword, NotAKeyFile, unseal
from reconciler.lab.admt.secret_store import drop_secret, read_secret, store_secret
from reconciler.lab.windows.files import DriveNotFound, normal
from reconciler.lab.windows.logons import LogonRefused, check_account
from reconciler.lab.windows.registry import LSA
from reconciler.lab.windows.services import Service
from reconciler.lab.windows.software import Product

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

SERVICE = "PesSvc"
DISPLAY = "Password Export Server Service"
NOTIFICATION = "PWMIG"
PRODUCT = Product(
    code="{2A7E9F34-60B5-4C0E-9C13-5D6C2E1B8A71}",
    name="Active Directory Migration Tool Password Migration DLL",
    version="3.1.1.0",
)
LOCAL_SYSTEM = "LocalSystem"
# KB2004090: this is also what somebody reads who may not open the LSA policy object.
INVALID_PASSWORD = "Invalid Password! The supplied password does not match this encryption key's password."

_SECRET = "L$PES_KEY"
_ACCOUNT_SECRET = "_SC_PesSvc"
_DLL = r"C:\Windows\System32\pwmig.dll"
_PROGRAM = r"C:\Windows\System32\PesSvc.exe"
_PACKAGES = "Notification Packages"
_LOGON_FAILED = 1069  # ERROR_SERVICE_LOGON_FAILED


class PesNotInstalled(Exception):
    """The package refused to install; the text is its reason."""


@dataclass(frozen=True, slots=True)
class PesSetup:
    """What the person at the wizard, or the package's properties, say."""

    key_file: str
    key_password: str = field(repr=False)
    account: str = LOCAL_SYSTEM  # or TARGET\user
    account_password: str = field(default="", repr=False)


async def install_pes(machine: Machine, setup: PesSetup, *, administrator: bool) -> None:
    """Install the service, the password filter and the key; none of it works before a restart.

    Raises:
        PesNotInstalled: Nothing was changed.
    """
    if machine.software.get(PRODUCT.code) is not None:
        raise PesNotInstalled("Another version of this product is already installed.")
    key = _read_key(machine, setup)
    if not administrator:
        raise PesNotInstalled(INVALID_PASSWORD)
    if not await _account_is_valid(machine, setup.account, setup.account_password):
        raise PesNotInstalled("The service account or its password is not valid.")
    stored = {"installed": machine.clock().isoformat(), "key": key.to_bytes().decode("utf-8")}
    store_secret(machine, _SECRET, json.dumps(stored).encode("utf-8"))
    if setup.account.lower() != LOCAL_SYSTEM.lower():
        store_secret(machine, _ACCOUNT_SECRET, setup.account_password.encode("utf-8"))
    packages = _packages(machine)
    if NOTIFICATION.lower() not in (name.lower() for name in packages):
        machine.registry.set(LSA, _PACKAGES, "MultiString", (*packages, NOTIFICATION))
    machine.files.write(_DLL, b"MZ lab PWMIG 3.1", parents=True)
    machine.files.write(_PROGRAM, b"MZ lab PesSvc 3.1", parents=True)
    machine.services.add(
        Service(SERVICE, DISPLAY, _PROGRAM, start_mode="Manual", account=setup.account), _start_hook(machine)
    )
    machine.software.add(PRODUCT)


def uninstall_pes(machine: Machine) -> None:
    """Remove everything that ``install_pes`` put there; the filter stays loaded until a restart."""
    machine.services.stop(SERVICE)
    machine.services.remove(SERVICE)
    left = tuple(name for name in _packages(machine) if name.lower() != NOTIFICATION.lower())
    machine.registry.set(LSA, _PACKAGES, "MultiString", left)
    drop_secret(machine, _SECRET)
    drop_secret(machine, _ACCOUNT_SECRET)
    machine.files.delete(_DLL)
    machine.files.delete(_PROGRAM)
    machine.software.remove(PRODUCT.code)


def register_pes(machine: Machine) -> None:
    """Give an installed service its behaviour back after the lab was started again."""
    if machine.services.get(SERVICE) is not None:
        machine.services.hooks[SERVICE.lower()] = _start_hook(machine)


def pes_key(machine: Machine) -> EncryptionKey | None:
    """Return the key that PES was installed with, or None."""
    stored = _stored(machine)
    return None if stored is None else EncryptionKey.from_bytes(stored["key"].encode("utf-8"))


def pes_is_loaded(machine: Machine) -> bool:
    """Return whether the filter was loaded at the last boot, after this installation."""
    stored = _stored(machine)
    booted = machine.booted.get(_PACKAGES)
    names = booted.data if booted is not None and isinstance(booted.data, tuple) else ()
    if stored is None or NOTIFICATION.lower() not in (name.lower() for name in names):
        return False
    return machine.boot_time > datetime.fromisoformat(stored["installed"])


def _stored(machine: Machine) -> dict[str, str] | None:
    content = read_secret(machine, _SECRET)
    return None if content is None else json.loads(content)


def _packages(machine: Machine) -> tuple[str, ...]:
    value = machine.registry.get(LSA, _PACKAGES)
    return value.data if value is not None and isinstance(value.data, tuple) else ()


def _read_key(machine: Machine, setup: PesSetup) -> EncryptionKey:
    try:
        item = machine.files.item(normal(setup.key_file))
    except DriveNotFound:
        raise PesNotInstalled("The encryption key file must be on a local drive.") from None
    if item is None or item.content is None:
        raise PesNotInstalled(f"The encryption key file '{setup.key_file}' could not be found.")
    try:
        key = unseal(item.content, setup.key_password)
    except NotAKeyFile:
        raise PesNotInstalled(f"The file '{setup.key_file}' is not a valid encryption key file.") from None
    except InvalidKeyPassword:
        raise PesNotInstalled(INVALID_PASSWORD) from None
    if key.source_domain.upper() != machine.facts.netbios.upper():
        raise PesNotInstalled(f"The encryption key is for the domain '{key.source_domain}'.")
    return key


def _start_hook(machine: Machine) -> Callable[[Service], Awaitable[int]]:
    async def start(service: Service) -> int:
        """Log the service on; whether it will export anything shows only when somebody asks it."""
        password = (read_secret(machine, _ACCOUNT_SECRET) or b"").decode("utf-8")
        return 0 if await _account_is_valid(machine, service.account, password) else _LOGON_FAILED

    return start


async def _account_is_valid(machine: Machine, account: str, password: str) -> bool:
    if account.lower() in (LOCAL_SYSTEM.lower(), r"nt authority\system"):
        return True
    try:
        await check_account(machine, account, password)
    except LogonRefused:
        return False
    return True
