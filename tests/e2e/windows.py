"""A bare PowerShell session with a host of the lab: what an administrator types by hand. Shares nothing with the product."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

UNINSTALL = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
LSA = r"HKLM\SYSTEM\CurrentControlSet\Control\Lsa"


class CommandFailed(Exception):
    """A cmdlet wrote an error."""


@dataclass(frozen=True)
class Finished:
    """A native program that ended."""

    code: int
    text: str


class Windows:
    """One session; opened with ``with``, for a restart of the host ends it."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self._wsman = WSMan(
            address, port=5985, ssl=False, auth="ntlm", encryption="always", username=username, password=password,
            no_proxy=True, reconnection_retries=0, connection_timeout=10, read_timeout=30, operation_timeout=20,
        )  # fmt: skip
        self._pool = RunspacePool(self._wsman)

    def __enter__(self) -> Self:
        self._pool.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.close()
        self._wsman.close()

    def run(self, cmdlet: str, **parameters: Any) -> list[Any]:
        """Run one cmdlet and return its output; None stands for a switch."""
        shell = PowerShell(self._pool)
        shell.add_cmdlet(cmdlet)
        for name, value in parameters.items():
            shell.add_parameter(name, value)
        output = list(shell.invoke())
        if shell.had_errors or shell.streams.error:
            raise CommandFailed(f"{cmdlet}: {'; '.join(str(error) for error in shell.streams.error)}")
        return output

    def program(self, name: str, *arguments: str) -> Finished:
        """Run a native program and return how it ended and what it wrote, its error output last."""
        shell = PowerShell(self._pool)
        shell.add_cmdlet(name)
        for argument in arguments:
            shell.add_argument(argument)
        shell.add_statement()
        shell.add_cmdlet("Get-Variable").add_parameter("Name", "LASTEXITCODE").add_parameter("ValueOnly", True)
        *lines, code = shell.invoke()
        return Finished(int(code), "\n".join([*map(str, lines), *map(str, shell.streams.error)]))

    def done(self, name: str, *arguments: str) -> str:
        """Run a native program that has to succeed; return what it wrote."""
        finished = self.program(name, *arguments)
        if finished.code not in (0, 3010):  # 3010: done, a restart is needed
            raise CommandFailed(f"{name} ended with {finished.code}: {finished.text}")
        return finished.text

    def set_value(self, name: str, kind: str, data: str) -> None:
        """Set a value of the Local Security Authority."""
        self.done("reg.exe", "add", LSA, "/v", name, "/t", kind, "/d", data, "/f")

    def remove_value(self, name: str) -> None:
        """Remove a value of the Local Security Authority."""
        self.done("reg.exe", "delete", LSA, "/v", name, "/f")

    def value(self, name: str) -> tuple[str, str] | None:
        """Return type and data of a value of the Local Security Authority, None where it is not there."""
        finished = self.program("reg.exe", "query", LSA, "/v", name)
        for line in finished.text.splitlines():
            if line.strip().startswith(f"{name} "):
                kind, data = line.strip().removeprefix(name).split(maxsplit=1)
                return kind, data
        return None

    def software(self) -> dict[str, str]:
        """Return display names of what is installed, by product code."""
        keys = [
            line.strip() for line in self.done("reg.exe", "query", UNINSTALL).splitlines() if r"Uninstall\{" in line
        ]
        lines = {key: self.done("reg.exe", "query", key, "/v", "DisplayName").splitlines() for key in keys}
        return {
            key.rpartition("\\")[2]: line.partition("REG_SZ")[2].strip()
            for key, found in lines.items()
            for line in found
            if "REG_SZ" in line
        }

    def exists(self, path: str) -> bool:
        """Return whether a file or directory is there."""
        return bool(self.run("Test-Path", LiteralPath=path)[0])

    def audit(self) -> str:
        """Return the whole audit policy."""
        return self.done("auditpol.exe", "/get", "/category:*", "/r")
