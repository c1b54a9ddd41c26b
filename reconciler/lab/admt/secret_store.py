"""What the simulated software keeps where only the system may look: values below HKLM\\SECURITY, like LSA secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

SECRETS = r"HKLM\SECURITY\Policy\Secrets"


def store_secret(machine: Machine, name: str, content: bytes) -> None:
    """Write a secret; one of the same name is replaced."""
    machine.registry.set(f"{SECRETS}\\{name}", "CurrVal", "Binary", content)


def read_secret(machine: Machine, name: str) -> bytes | None:
    """Return a secret, or None where there is none."""
    value = machine.registry.get(f"{SECRETS}\\{name}", "CurrVal")
    return value.data if value is not None and isinstance(value.data, bytes) else None


def drop_secret(machine: Machine, name: str) -> None:
    """Remove a secret, if it is there."""
    machine.registry.remove(f"{SECRETS}\\{name}")
