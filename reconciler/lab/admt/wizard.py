"""What a person at the screen of a simulated host does with the interactive installers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.lab.admt.pes import LOCAL_SYSTEM, PesSetup, install_pes

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine


async def pes_wizard(
    machine: Machine, key_file: str, key_password: str, account: str = LOCAL_SYSTEM, account_password: str = ""
) -> None:
    """Click through the wizard of the Password Migration DLL as an elevated administrator, without the restart.

    Raises:
        PesNotInstalled: What the wizard would say; nothing was changed.
    """
    setup = PesSetup(key_file, key_password, account, account_password)
    await install_pes(machine, setup, administrator=True)
    machine.save()
