"""The live world: searches and writes go to directories, commands to hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from reconciler.core.errors import ReconcileError, Unreachable, WorldError
from reconciler.core.query import Command, Query, Rows, Search
from reconciler.core.steps import AddEntry, CopyFile, DeleteEntry, Effect, LogOn, ModifyEntry, Restart, RunTask
from reconciler.core.targets import Targets
from reconciler.edge import files, logon
from reconciler.edge.accounts import Account, Accounts, Vault
from reconciler.edge.asking import THREADS, Asking
from reconciler.edge.controllers import recorded_controllers
from reconciler.edge.directory import Directory, OwnLine
from reconciler.edge.ldap_lines import Lines
from reconciler.edge.loggers import quiet_libraries
from reconciler.edge.patience import TURN_S, longest_s, longest_together_s
from reconciler.edge.ways_in import WaysIn

if TYPE_CHECKING:
    from reconciler.edge.fence import Fence
    from reconciler.edge.remote import Hosts

T = TypeVar("T")


class LiveWorld:
    """Implements ``core.ports.World``. Opens nothing before it is asked something; closes everything at the end.

    Args:
        targets: Domains, hosts and credentials of the state file.
        secrets: Opens references to secrets.
        base: Directory of the state file; relative paths in it start there.
        fence: Keeps late writes of a process that was taken over from out; None where nothing is changed.

    Attributes:
        waiting: Surrounds everything that is asked and done, and is told for how many seconds that may last.
    """

    def __init__(self, targets: Targets, secrets: Vault, base: Path, fence: Fence | None = None) -> None:
        quiet_libraries()
        self._targets = targets
        self._fence = fence
        self._accounts = Accounts(targets, secrets)
        self._ways = WaysIn(targets, base, self._accounts, self.ask)
        self._directories = {name: self._directory(name) for name in targets.domains}
        self._alone: dict[tuple[str, str], Directory] = {}  # by domain and the only controller that it leads to
        self._remote: Hosts | None = None
        self._lock = threading.Lock()
        self._restarting = threading.Lock()
        self.waiting: Callable[[float], AbstractContextManager[None]] = lambda longest: nullcontext()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, fence: Fence | None) -> None:
        """Begin another pass of a world that stays open: with the number of its writer, and with nothing believed for good.

        A role may have moved to another host; a session with the former holder ends.
        """
        self._fence = fence
        self._accounts.forget_generated()
        for host, before in self._ways.forget().items():
            with suppress(WorldError):
                if self._ways.host_name(host) == before:
                    continue
            self._hosts.drop(host)

    def close(self) -> None:
        """Close every connection."""
        with self._waiting_for_all():
            if self._remote is not None:
                self._remote.close()
        for directory in (*self._directories.values(), *self._alone.values()):
            directory.close()
        self._ways.close()

    def forsake(self) -> None:
        """Clear up what this machine keeps for the connections, without a word to whoever they lead to."""
        self._ways.close()

    def ask(self, query: Query) -> Rows:
        """Answer a query, as ``core.ports.World`` says.

        Raises:
            TypeError: A Recall; that is the journal's to answer.
        """
        with self.waiting(longest_s(query)):
            return self._ask(query)

    def _ask(self, query: Query) -> Rows:
        if isinstance(query, Search):
            return self._answering(query.domain, query.controller).search(query)
        if isinstance(query, Command):
            if self._fence is not None:
                self._fence.before_asking(query.host, self._hosts.run)
            return self._hosts.run(query)
        raise TypeError(f"the world cannot answer {type(query).__name__}")

    def ask_each(self, queries: Sequence[Query]) -> Iterator[tuple[int, Rows | ReconcileError]]:
        """Answer queries as ``core.ports.AsksTogether`` says: targets in parallel, and a host in one message."""
        return Asking(self.ask, self._ask_host, self._ask_ahead).each(queries)

    def at_once(self, jobs: Sequence[Callable[[], T]], threads: int = THREADS) -> list[T]:
        """Return what jobs return, each in a thread of its own; the first error in their order comes once all have ended."""
        if len(jobs) < 2:
            return [job() for job in jobs]
        with ThreadPoolExecutor(threads, thread_name_prefix="world") as pool:
            begun = [pool.submit(job) for job in jobs]
        return [one.result() for one in begun]

    def _ask_host(self, commands: Sequence[Command]) -> Sequence[Rows | ReconcileError]:
        if self._fence is not None:
            self._fence.before_asking(commands[0].host, self._hosts.run)
        with self.waiting(longest_together_s(commands)):
            return self._hosts.run_all(commands)

    def _ask_ahead(self, domain: str, searches: Sequence[Search]) -> Generator[tuple[int, Rows], None, None]:
        longest = longest_s(searches[0])
        with closing(self._directories[domain].search_ahead(searches)) as answers:
            while True:
                with self.waiting(longest):  # for each, because whoever takes one may do something with it first
                    found = next(answers, None)
                if found is None:
                    return
                yield found

    def controllers(self, domain: str) -> tuple[str, ...]:
        """Return every controller of a domain, as ``core.ports.World`` says.

        Three sources are united, because each may be behind: the directory's own list, the state file's, and DNS. A name
        that is wrong costs a certificate until somebody tidies up; one that is missing would make it untrue.
        """
        declared = self._targets.domains[domain]
        found = [*declared.controllers, *recorded_controllers(self.ask, domain, declared.dns)]
        with suppress(Unreachable):  # the directory has answered; without DNS nothing is known less than it says
            found += self._ways.controllers(domain)
        return tuple(dict.fromkeys(name.rstrip(".").lower() for name in found))

    def serving(self, domain: str) -> tuple[str, int]:
        """Return which controller answers for a domain, and how often one was chosen; see `Directory.serving`."""
        return self._directories[domain].serving

    def own_line(self, domain: str) -> OwnLine:
        """Open a connection to a domain that nobody else uses; the caller closes it."""
        return self._directories[domain].own_line()

    def do(self, effect: Effect) -> Rows:
        """Carry out an effect, as ``core.ports.World`` says."""
        with self.waiting(longest_s(effect)):
            return self._do(effect)

    def modify_together(self, changes: Sequence[ModifyEntry]) -> list[ReconcileError | None]:
        """Carry out changes of one domain at once, as ``core.ports.ModifiesTogether`` says."""
        (domain,) = {change.domain for change in changes}
        with self.waiting(longest_s(changes[0])):
            return self._directories[domain].modify_all(changes, self._check)

    def do_together(self, works: Sequence[Callable[[], None]]) -> None:
        """Do several pieces of work at the same time, as ``core.ports.DoesTogether`` says."""
        self.at_once(works, threads=len(works))

    def _do(self, effect: Effect) -> Rows:
        match effect:
            case AddEntry():
                self._directories[effect.domain].write(self._accounts.opened(effect), self._check)
                return ()
            case ModifyEntry() | DeleteEntry():
                self._directories[effect.domain].write(effect, self._check)
                return ()
            case LogOn():
                return self._log_on(effect)
            case Command():
                return self._send(effect)
            case CopyFile():
                files.copy(self._send, effect)
                return ()
            case Restart():
                self._restart(effect)
                return ()
            case RunTask():
                from reconciler.edge.tasks import run_task

                username = self._targets.credentials[effect.credential].username
                return run_task(self._send, effect, username)
        raise TypeError(f"the world cannot do {type(effect).__name__}")

    def _log_on(self, effect: LogOn) -> Rows:
        account = self._accounts.generated(effect.domain, effect.account, effect.password)
        if not logon.by_kerberos_possible():
            return logon.by_bind(self._ways.doors(effect.domain), account)
        self._ways.declare_realms()
        return logon.by_kerberos(account.principal(self._accounts.realms), account.password)

    def overtake(self) -> dict[str, WorldError]:
        """Shut out the writer that was taken over from, host by host; return the hosts where that failed, and why."""
        with self._waiting_for_all():
            return self._fence.overtake(self._hosts.run) if self._fence is not None else {}

    def lift(self) -> dict[str, WorldError]:
        """Leave no trace of the writer on any host; return the hosts where that failed, and why."""
        with self._waiting_for_all():
            return self._fence.lift(self._hosts.run) if self._fence is not None else {}

    def _waiting_for_all(self) -> AbstractContextManager[None]:
        return self.waiting(TURN_S * len(self._targets.hosts))

    @property
    def _hosts(self) -> Hosts:
        from reconciler.edge.remote import Hosts  # not for who asks directories alone

        with self._lock:
            if self._remote is None:
                self._remote = Hosts(self._targets, self._accounts, self._ways.gate)
            return self._remote

    def _send(self, command: Command) -> Rows:
        """Run one command of an effect."""
        return self._hosts.run(command) if self._fence is None else self._fence.send(command, self._hosts.run)

    def _check(self) -> None:
        if self._fence is not None:
            self._fence.check()

    def _restart(self, effect: Restart) -> None:
        from reconciler.edge.restart import Ways, restart

        domain = self._targets.hosts[effect.host].domain
        name = self._ways.host_name(effect.host)

        def drop() -> None:
            self._hosts.drop(effect.host)
            for directory in (self._directories[domain], *(d for (of, _), d in self._alone.items() if of == domain)):
                directory.forget()

        def serves() -> bool:
            return self._directories[domain].serves(self._ways.doors_of(domain, name))

        with self._restarting:  # never two at a time
            restart(Ways(self._send, drop, serves), effect)

    def _answering(self, name: str, controller: str) -> Directory:
        """Return the directory of a domain: by whichever controller, or by one alone, without another in its place."""
        if not controller:
            return self._directories[name]
        with self._lock:
            if (name, controller) not in self._alone:
                self._alone[name, controller] = self._directory(name, controller)
            return self._alone[name, controller]

    def _directory(self, name: str, only: str = "") -> Directory:
        domain = self._targets.domains[name]

        def account() -> Account:
            if domain.auth == "kerberos":
                self._ways.declare_realms()
            return self._accounts.account(domain.credential)

        return Directory(
            Lines(
                name, domain.dns, lambda: self._ways.doors_of(name, only) if only else self._ways.doors(name), account
            )
        )
