"""Installing and removing the Active Directory Migration Tool on a simulated host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.lab.admt.log import LOGS
from reconciler.lab.windows.files import parent
from reconciler.lab.windows.software import Product

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

PRODUCT = Product(
    code="{6C5B5E0F-4A0A-4F3B-9A44-3B1F6E0D7C32}",
    name="Active Directory Migration Tool",
    version="3.2",
)
PROGRAM = r"C:\Windows\ADMT\admt.exe"

_DATA = r"C:\Windows\ADMT\Data"


def install_admt(machine: Machine) -> None:
    """Put the program, its directories and its uninstall key in place; a second installation changes nothing."""
    if machine.software.get(PRODUCT.code) is None:
        machine.files.make_directory(LOGS)
        machine.files.make_directory(_DATA)
        machine.files.write(PROGRAM, b"MZ lab ADMT 3.2", parents=True)
        machine.software.add(PRODUCT)
    register_admt(machine)


def uninstall_admt(machine: Machine) -> None:
    """Remove the program; the database, the logs and the keys of this host stay, as with the real tool."""
    machine.programs.pop("admt.exe", None)
    machine.files.delete(PROGRAM)
    machine.software.remove(PRODUCT.code)
    if not machine.files.children(LOGS) and not machine.files.children(_DATA):
        machine.files.delete(parent(PROGRAM))


def register_admt(machine: Machine) -> None:
    """Make ``admt.exe`` callable where it is installed."""
    from reconciler.lab.admt.program import admt

    if machine.software.get(PRODUCT.code) is not None:
        machine.programs["admt.exe"] = admt
