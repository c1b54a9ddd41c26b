"""Every cmdlet and program that a simulated host has before anything is installed on it."""

from __future__ import annotations

from dataclasses import replace

from reconciler.lab.windows import (
    cmdlets_cim,
    cmdlets_directory,
    cmdlets_file,
    cmdlets_group,
    cmdlets_item,
    cmdlets_registry,
    cmdlets_service,
    cmdlets_system,
    cmdlets_task,
    programs_audit,
    programs_netdom,
    programs_nltest,
    programs_registry,
    programs_system,
)
from reconciler.lab.windows.contract import Call, Cmdlet, Program


def _durable(cmdlet: Cmdlet) -> Cmdlet:
    """Return the cmdlet so that what it changed is on the disk before it answers."""

    async def run(call: Call) -> None:
        try:
            await cmdlet.run(call)
        finally:
            call.machine.save()

    return replace(cmdlet, run=run)


CMDLETS: tuple[Cmdlet, ...] = tuple(
    _durable(cmdlet)
    for module in (
        cmdlets_cim,
        cmdlets_directory,
        cmdlets_file,
        cmdlets_group,
        cmdlets_item,
        cmdlets_registry,
        cmdlets_service,
        cmdlets_system,
        cmdlets_task,
    )
    for cmdlet in module.CMDLETS
)

CONTROLLERS_ONLY = frozenset({"set-adobject", "netdom.exe", "nltest.exe"})
"""What comes with the directory service or with its administration tools, which a member server does not have by itself. [K]"""

PROGRAMS: dict[str, Program] = {
    **programs_audit.PROGRAMS,
    **programs_netdom.PROGRAMS,
    **programs_nltest.PROGRAMS,
    **programs_registry.PROGRAMS,
    **programs_system.PROGRAMS,
}
