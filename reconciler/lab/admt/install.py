"""Where the lab meets this room: what a simulated host can install, and what it has installed already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.lab.admt.msi import admtsetup, msiexec
from reconciler.lab.admt.pes import register_pes
from reconciler.lab.admt.setup import register_admt

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine


def install(machine: Machine) -> None:
    """Give a loaded machine its installers, and give installed software its behaviour back.

    Call it after every load of a disk; it is not a change of the disk.
    """
    machine.installers["admtsetup32.exe"] = admtsetup
    machine.installers["msiexec.exe"] = msiexec
    register_admt(machine)
    register_pes(machine)
