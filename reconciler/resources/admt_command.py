"""The include file and the command line of one run of ``admt user``. Only options that ``admt user /?`` lists are used."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.core.query import Command
from reconciler.core.steps import Note, RunTask, Step
from reconciler.core.values import Dn
from reconciler.resources.account_matching import Pair

FOLDER = r"C:\Windows\ADMT"
PROGRAM = FOLDER + r"\admt.exe"
LOG = FOLDER + r"\Logs\Migration.log"

_HEADER = ("SourceName", "TargetRDN", "TargetSAM", "TargetUPN")
_RUN_S = 4 * 3600.0

Mode = Literal["new", "merge", "merge-keeping-password"]


@dataclass(frozen=True, slots=True)
class Migration:
    """What every run of one population shares; names are DNS names."""

    host: str
    credential: str
    source_dns: str
    target_dns: str
    into: Dn
    sid_history: bool
    groups: bool
    password_server: str = ""  # empty: passwords are generated, not copied
    source_controller: str = ""
    target_controller: str = ""

    def run(self, pairs: Sequence[Pair], mode: Mode, notes: tuple[Note, ...] = (), risk: str = "") -> tuple[Step, ...]:
        """Return the steps of one run: write the include file, run ADMT, remove what it needed and left.

        Args:
            pairs: The accounts, with their target where there is one.
            mode: Whether they exist in the target already.
            notes: Facts committed before ADMT starts.
            risk: Approval that the run needs.
        """
        lines = include_lines(pairs, existing=mode != "new")
        # The same names for every run of a population: what a crashed run left lying is overwritten and removed.
        digest = hashlib.sha256("\n".join([self.source_dns, self.target_dns, self.into]).encode()).hexdigest()[:12]
        include, generated = f"{FOLDER}\\reconcile-{digest}.csv", f"{FOLDER}\\reconcile-{digest}.txt"
        arguments = self._arguments(mode, include, generated)
        task = RunTask(self.host, f"reconcile-admt-{digest}", PROGRAM, arguments, self.credential, LOG, _RUN_S)
        leftovers = (include, generated) if self._copies(mode) else (include,)
        return (
            Step(_write(self.host, include, lines), f"write the list of {len(pairs)} accounts to {include}"),
            Step(task, _says(pairs, mode, self), notes, risk),
            *(Step(remove(self.host, path), f"remove {path}") for path in leftovers),
        )

    def _copies(self, mode: Mode) -> bool:
        return bool(self.password_server) and mode != "merge-keeping-password"

    def _arguments(self, mode: Mode, include: str, generated: str) -> tuple[str, ...]:
        copies = self._copies(mode)
        password = "COPY" if copies else "COMPLEX" if mode == "new" else "COMPLEX+NOTEXISTING"
        options = {
            "SD": self.source_dns,
            "SDC": self.source_controller,
            "TD": self.target_dns,
            "TDC": self.target_controller,
            "TO": canonical_tail(self.into),
            "F": include,
            "MSS": "YES" if self.sid_history else "NO",
            "PO": password,
            "PS": self.password_server if copies else "",
            # Where a copy fails, ADMT writes the generated password to a file and leaves it there. That one is removed.
            "PF": generated if copies else "",
            "CO": "IGNORE" if mode == "new" else "MERGE",
            # An account that people may use already gets what it lacks, and keeps its other attributes.
            "UX": "" if mode == "new" else "*",
            "DOT": "TARGETSAMEASSOURCE",
            "UMO": "YES",
            "FGM": "YES",
            "MGS": "YES" if self.groups else "NO",
        }
        return ("user", *(f"/{name}:{value}" for name, value in options.items() if value))


def include_lines(pairs: Sequence[Pair], *, existing: bool) -> tuple[str, ...]:
    """Return the lines of an include file.

    The header is optional where there are only source names; it is always written, since an account may be called
    ``SourceName``. Existing targets are named in full: without TargetRDN a merge renames them, and it resets the UPN.

    Source: ADMT Guide, cc974420.
    """
    rows: list[tuple[str, ...]] = [_HEADER if existing else _HEADER[:1]]
    for pair in pairs:
        target = pair.target
        rows.append(
            (pair.source.sam, target.rdn, target.sam, target.upn) if existing and target else (pair.source.sam,)
        )
    return tuple(map(_csv_line, rows))


def canonical_tail(container: Dn) -> str:
    """Return a container as /TO wants it: below the domain, top first, slashes between (``Europe/Staff``)."""
    names = [value for name, value in container.rdns() if name != "DC"]
    return "/".join(name.replace("\\", "\\\\").replace("/", "\\/") for name in reversed(names))


def remove(host: str, path: str) -> Command:
    """Return what removes a file of a run; one that is not there is as good as removed."""
    return Command(
        host, "Remove-Item", (("LiteralPath", path), ("Force", True)), absent=("PathNotFound", "ItemNotFound")
    )


def removed_by(step: Step) -> str | None:
    """Return the path of the file that a step removes; None for every other step."""
    effect = step.effect
    if not isinstance(effect, Command) or effect.name != "Remove-Item":
        return None
    return str(dict(effect.parameters)["LiteralPath"])


def _csv_line(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _write(host: str, path: str, lines: tuple[str, ...]) -> Command:
    # How ADMT reads bytes beyond ASCII is documented nowhere. UTF-16 with its mark is the one form that no code page can
    # misread; plain names are written in plain ASCII, which every reading agrees on.
    encoding = "Ascii" if all(line.isascii() for line in lines) else "Unicode"
    return Command(
        host, "Set-Content", (("LiteralPath", path), ("Value", lines), ("Encoding", encoding), ("Force", True))
    )


def _says(pairs: Sequence[Pair], mode: Mode, migration: Migration) -> str:
    names = ", ".join(pair.source.sam for pair in pairs[:5]) + (", ..." if len(pairs) > 5 else "")
    verb = "migrate" if mode == "new" else "complete"
    more = [*(["SID history"] if migration.sid_history else []), *(["password"] if migration._copies(mode) else [])]
    count = f"{len(pairs)} account{'s' if len(pairs) != 1 else ''}"
    return f"{verb} {count}{' with ' + ' and '.join(more) if more else ''}: {names}"
