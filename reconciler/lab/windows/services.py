"""The services of a simulated host: status, start mode, account, and what happens when one starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

StartMode = Literal["Automatic", "Manual", "Disabled"]
StartHook = Callable[["Service"], Awaitable[int]]
"""Runs when a service starts; returns 0, or the Win32 code it fails with."""

BUILT_IN_ACCOUNTS = (
    "localsystem",
    r"nt authority\system",
    r"nt authority\localservice",
    r"nt authority\networkservice",
    r"nt authority\local service",
    r"nt authority\network service",
)

ERROR_SERVICE_DISABLED = 1058
ERROR_SERVICE_DOES_NOT_EXIST = 1060
ERROR_SERVICE_DEPENDENCY_FAIL = 1068
ERROR_SERVICE_LOGON_FAILED = 1069


@dataclass(slots=True)
class Service:
    """One service. ``account`` is its ObjectName: LocalSystem, or DOMAIN\\name."""

    name: str
    display: str
    path: str
    start_mode: StartMode = "Automatic"
    account: str = "LocalSystem"
    running: bool = False
    dependencies: tuple[str, ...] = ()
    exit_code: int = 0
    can_stop: bool = True
    password: str | None = field(default=None, repr=False)  # None: whoever installed the service answers for it


class Services:
    """Every service by name (without case); ``hooks`` holds what each one does when it starts."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._services: dict[str, Service] = {}
        self.log_on: StartHook | None = None  # checks a service's account; 1069 where it cannot be logged on
        self.hooks: dict[str, StartHook] = {}  # by lower-case name; set by installed software, also after a load

    def __iter__(self) -> Iterator[Service]:
        return iter(sorted(self._services.values(), key=lambda service: service.name.lower()))

    def get(self, name: str) -> Service | None:
        """Return a service by its name, or None."""
        return self._services.get(name.lower())

    def by_display(self, display: str) -> Service | None:
        """Return a service by its display name, or None."""
        return next((one for one in self._services.values() if one.display.lower() == display.lower()), None)

    def add(self, service: Service, hook: StartHook | None = None) -> Service:
        """Install a service, or replace one; ``hook`` is called at each start."""
        self._services[service.name.lower()] = service
        if hook is not None:
            self.hooks[service.name.lower()] = hook
        self._changed()
        return service

    def remove(self, name: str) -> bool:
        """Uninstall a service; False where there was none."""
        self.hooks.pop(name.lower(), None)
        removed = self._services.pop(name.lower(), None) is not None
        if removed:
            self._changed()
        return removed

    def configure(
        self,
        name: str,
        *,
        start_mode: StartMode | None = None,
        account: str | None = None,
        password: str | None = None,
    ) -> None:
        """Change how a service starts; what runs goes on as it was started.

        The password belongs to the account and is not checked before the next start.
        """
        service = self._services[name.lower()]
        if account is not None or password is not None:
            service.password = password or ""
        service.start_mode = start_mode or service.start_mode
        service.account = account or service.account
        self._changed()

    async def start(self, name: str) -> int:
        """Start a service and what it depends on; return 0, or the Win32 code of the failure."""
        service = self.get(name)
        if service is None:
            return ERROR_SERVICE_DOES_NOT_EXIST
        if service.running:
            return 0
        if service.start_mode == "Disabled":
            return ERROR_SERVICE_DISABLED
        for needed in service.dependencies:
            code = await self.start(needed)
            if code:
                return ERROR_SERVICE_DEPENDENCY_FAIL
        hook = self.hooks.get(service.name.lower())
        service.exit_code = 0 if self.log_on is None else await self.log_on(service)
        if service.exit_code == 0 and hook is not None:
            service.exit_code = await hook(service)
        service.running = service.exit_code == 0
        self._changed()
        return service.exit_code

    def stop(self, name: str) -> bool:
        """Stop a service; False where there is none."""
        service = self.get(name)
        if service is None:
            return False
        service.running = False
        self._changed()
        return True

    def dependents(self, name: str) -> list[Service]:
        """Return the running services that need this one."""
        return [one for one in self if one.running and name.lower() in (need.lower() for need in one.dependencies)]

    async def boot(self) -> None:
        """Start what starts with the machine; everything else stands still."""
        for service in self:
            service.running = False
        for service in self:
            if service.start_mode == "Automatic":
                await self.start(service.name)

    def to_disk(self) -> dict[str, Any]:
        """Return every service as JSON can hold it; what runs is not on a disk."""
        return {
            service.name: {**asdict(service), "running": False, "dependencies": list(service.dependencies)}
            for service in self._services.values()
        }

    def from_disk(self, disk: Mapping[str, Any]) -> None:
        """Take every service from what ``to_disk`` returned; none of them runs."""
        self._services = {
            name.lower(): Service(**{**stored, "dependencies": tuple(stored["dependencies"])})
            for name, stored in disk.items()
        }
