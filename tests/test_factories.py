"""Rules that no type can hold, read from the source: who may look at a clock, open a connection, or see a secret."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.declared import ROOT

PRODUCT = ROOT / "reconciler"
CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep", "time.localtime", "time.gmtime",
    "datetime.now", "datetime.utcnow", "datetime.today", "datetime.datetime.now", "datetime.datetime.utcnow", "date.today", "datetime.date.today",
    "uuid.uuid1", "uuid.uuid4", "os.urandom", "asyncio.sleep",
}  # fmt: skip
CHANCE = {"random", "secrets"}
FILTER_AT = 2
"""Place of the filter among the positional arguments of ``Search``."""

AUTHORS_FILTER = {
    ("reconciler/resources/population.py", "self._where()"),
    ("reconciler/resources/ad_memberships.py", "f'(&{EVERY_GROUP}{self.filter})'"),
}
"""The one filter that is not escaped, because the author of the state file wrote it as a filter."""


def sources(*rooms: str, without: tuple[str, ...] = ()) -> list[Path]:
    found = [path for room in rooms for path in sorted((PRODUCT / room).rglob("*.py"))]
    return [path for path in found if not any(path.is_relative_to(PRODUCT / room) for room in without)]


def name_of(node: ast.expr) -> str:
    """Return a dotted name, empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything that is imported, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def clocks(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for line, name in imports(tree):
        if name.partition(".")[0] in CHANCE or name in CLOCKS:
            yield line, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and name_of(node) in CLOCKS:
            yield node.lineno, name_of(node)


class Filters:
    """Which filters of one module are put together from something that is not escaped."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.faults: list[tuple[int, str]] = []
        self._constants = self._assigned(tree.body)

    def check(self) -> list[tuple[int, str]]:
        for scope in ast.walk(self.tree):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                local = self._assigned([node for node in ast.walk(scope) if isinstance(node, ast.stmt)])
                for call in ast.walk(scope):
                    if isinstance(call, ast.Call) and name_of(call.func).rpartition(".")[2] == "Search":
                        self._search(call, {**self._constants, **local})
        return self.faults

    def _assigned(self, body: list[ast.stmt]) -> dict[str, list[ast.expr]]:
        found: dict[str, list[ast.expr]] = {}
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []  # fmt: skip
            for target in targets:
                if (
                    isinstance(target, ast.Name)
                    and isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
                    and node.value
                ):
                    found.setdefault(target.id, []).append(node.value)
        return found

    def _search(self, call: ast.Call, known: dict[str, list[ast.expr]]) -> None:
        wheres = [keyword.value for keyword in call.keywords if keyword.arg in ("where", None)]
        wheres += call.args[FILTER_AT : FILTER_AT + 1] + [arg for arg in call.args if isinstance(arg, ast.Starred)]
        self.faults += [
            (call.lineno, ast.unparse(where)) for where in wheres if not self._safe(where, known, frozenset())
        ]

    def _safe(self, node: ast.expr, known: dict[str, list[ast.expr]], seen: frozenset[str]) -> bool:
        def safe(part: ast.expr) -> bool:
            return self._safe(part, known, seen)

        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.JoinedStr):
            return all(safe(part.value) for part in node.values if isinstance(part, ast.FormattedValue))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return safe(node.left) and safe(node.right)
        if isinstance(node, ast.BoolOp):
            return all(safe(value) for value in node.values)
        if isinstance(node, ast.IfExp):
            return safe(node.body) and safe(node.orelse)
        if isinstance(node, ast.GeneratorExp | ast.ListComp):
            return safe(node.elt)
        if isinstance(node, ast.Call):
            called = name_of(node.func)
            joined = (
                isinstance(node.func, ast.Attribute)
                and node.func.attr == "join"
                and isinstance(node.func.value, ast.Constant)
            )
            return called == "escape_filter" or (joined and all(safe(argument) for argument in node.args))
        if isinstance(node, ast.Name) and node.id in known and node.id not in seen:
            return all(self._safe(value, known, seen | {node.id}) for value in known[node.id])
        return False


def calls(*wanted: str) -> Callable[[ast.Module], Iterator[tuple[int, str]]]:
    """Return a check that finds calls of these; one that begins with a dot is a method of anything."""

    def found(tree: ast.Module) -> Iterator[tuple[int, str]]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call | ast.ClassDef):
                for name in [node.func] if isinstance(node, ast.Call) else node.bases:
                    said = (
                        f".{name.attr}"
                        if isinstance(name, ast.Attribute) and f".{name.attr}" in wanted
                        else name_of(name)
                    )
                    if said in wanted:
                        yield name.lineno, said

    return found


def where(paths: list[Path], check: Callable[[ast.Module], Iterator[tuple[int, str]]]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in paths
        for line, what in check(ast.parse(path.read_text(encoding="utf-8")))
    ]


def files(found: list[str]) -> set[str]:
    return {place.partition(":")[0] for place in found}


def test_nothing_below_the_edge_reads_a_clock_sleeps_or_draws_lots() -> None:
    assert where(sources("core", "resources", "engine", "reports"), clocks) == []


def test_filters_hold_nothing_that_is_not_escaped() -> None:
    assert {
        (path.relative_to(ROOT).as_posix(), what)
        for path in sources(".", without=("lab",))
        for _, what in Filters(ast.parse(path.read_text(encoding="utf-8"))).check()
    } == AUTHORS_FILTER


def test_secrets_are_opened_at_the_edge_only() -> None:
    found = files(where(sources(".", without=("lab",)), calls(".get_secret_value")))
    assert found
    assert all(path.startswith("reconciler/edge/") for path in found)


@pytest.mark.parametrize(
    ("names", "factory"),
    [
        (("ldap3.Connection", "Connection", "ldap3.Server", "Server"), "reconciler/edge/ldap_connection.py"),
        (("WSMan", "pypsrp.wsman.WSMan"), "reconciler/edge/psrp_connection.py"),
    ],
)
def test_connections_are_made_in_one_place_each(names: tuple[str, ...], factory: str) -> None:
    paths = [path for path in sources(".", without=("lab",)) if "apsw" not in path.read_text(encoding="utf-8")]
    assert files(where(paths, calls(*names))) == {factory}


def test_product_does_not_know_the_lab() -> None:
    door = PRODUCT / "cli" / "lab.py"
    strangers = where([path for path in sources(".", without=("lab",)) if path != door], imports)
    assert [place for place in strangers if place.partition(" ")[2].startswith("reconciler.lab")] == []


def test_front_door_loads_the_lab_only_when_one_of_its_verbs_is_called() -> None:
    tree = ast.parse((PRODUCT / "cli" / "lab.py").read_text(encoding="utf-8"))
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert [name for _, name in imports(top) if name.startswith("reconciler.lab")] == []
    assert [name for _, name in imports(tree) if name.startswith("reconciler.lab")]


# The rules themselves find what they are for.


@pytest.mark.parametrize(
    "text",
    ["import random", "from time import sleep", "from secrets import token_hex", "import time\nx = time.time()",
     "from datetime import datetime\nx = datetime.now(UTC)", "pause = time.sleep", "import uuid\nx = uuid.uuid4()"],
)  # fmt: skip
def test_clock_is_found(text: str) -> None:
    assert list(clocks(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["from datetime import datetime, timedelta", "x: datetime", "reconciler.core.secret", "clock.now()"]
)
def test_what_is_no_clock_is_not_found(text: str) -> None:
    assert not list(clocks(ast.parse(text)))


@pytest.mark.parametrize(
    ("where_", "safe"),
    [
        ('"(a=b)"', True),
        ('f"(a={escape_filter(n)})"', True),
        ('f"(&{inner})"', True),
        ('f"(|{many})"', True),
        ("f\"(|{many or '(a=b)'})\"", True),
        ("CONSTANT", True),
        ('f"(a={n})"', False),
        ('f"(a={escape_filter(n)}{n})"', False),
        ('"(a=%s)" % n', False),
        ('"(a={})".format(n)', False),
        ('"(a=" + n + ")"', False),
        ("n", False),
        ("outer", False),
        ("built(n)", False),
    ],
)
@pytest.mark.parametrize(
    "form", ["Search('d', '', {})", "Search('d', '', where={})", "query.Search(domain='d', base='', where={})"]
)
def test_filter_is_judged(where_: str, safe: bool, form: str) -> None:
    text = (
        'CONSTANT = "(a=b)"\ndef ask(n, names):\n inner = f"(a={escape_filter(n)})"\n outer = f"(a={n})"\n'
        ' many = "".join(f"(a={escape_filter(name)})" for name in names)\n return ' + form.replace("{}", where_)
    )
    assert bool(Filters(ast.parse(text)).check()) is not safe
