"""Tests of include files and command lines for ADMT; the lab's reader, written apart, reads them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.values import Dn, Sid, escape_rdn
from reconciler.lab.admt.include_file import parse as read_include_file
from reconciler.lab.admt.options import parse as read_options
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_names import Naming
from reconciler.resources.account_records import Account
from reconciler.resources.admt_command import Batch, Migration, Mode, canonical_tail, include_lines

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(
    lambda t: t == t.strip()
)
MIGRATION = Migration(
    "admt",
    "operator",
    "source.lab",
    "target.lab",
    sid_history=True,
    groups=False,
    password_server="src.source.lab",
)
INTO = Dn("OU=A/B,OU=Moved,DC=target,DC=lab")


def pair(sam: str, *, existing: bool = False, name: str = "Somebody") -> Pair:
    sid = Sid("S-1-5-21-1-2-3-1104").to_bytes()
    source = Account(f"CN={escape_rdn(name)},OU=Staff,DC=source,DC=lab".encode(), sid, sam)
    target = Account(f"CN={escape_rdn(name)},OU=Moved,DC=target,DC=lab".encode(), sid, sam, upn="s@target.lab")
    return Pair(source, Naming(INTO).of(source), target if existing else None)


def batch(*pairs: Pair, mode: Mode = "new") -> Batch:
    return Batch(pairs, mode, INTO)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_any_name_survives_an_include_file(names: list[str]) -> None:
    found = read_include_file("\r\n".join(include_lines([pair(name) for name in names], existing=False)))
    assert [item.source for item in found] == names


@given(NAMES, NAMES)
def test_an_existing_target_is_named_in_full(sam: str, name: str) -> None:
    (item,) = read_include_file("\r\n".join(include_lines([pair(sam, existing=True, name=name)], existing=True)))
    assert (item.source, item.sam, item.upn) == (sam, sam, "s@target.lab")
    assert Dn(f"{item.rdn},DC=x").name == Dn(f"CN={escape_rdn(name)},DC=x").name


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        (
            "new",
            {"PASSWORDOPTION": "COPY", "CONFLICTOPTIONS": "IGNORE", "MIGRATESIDS": "YES", "TARGETOU": "Moved/A\\/B"},
        ),
        ("merge", {"PASSWORDOPTION": "COPY", "CONFLICTOPTIONS": "MERGE", "USERPROPERTIESTOEXCLUDE": "*"}),
        ("merge-keeping-password", {"PASSWORDOPTION": "COMPLEX+NOTEXISTING", "CONFLICTOPTIONS": "MERGE"}),
    ],
)
def test_the_command_line_is_one_that_admt_takes(mode: Mode, options: dict[str, str]) -> None:
    arguments = MIGRATION._arguments(batch(mode=mode), r"C:\list.csv", r"C:\generated.txt")
    read = read_options("user", arguments[1:], lambda path: "")
    assert options.items() <= read.values.items()
    assert read.text("PASSWORDSERVER") == ("src.source.lab" if "COPY" in options["PASSWORDOPTION"] else "")


def test_a_run_cleans_up_behind_itself() -> None:
    steps = MIGRATION.run(batch(pair("ann")))
    written = [str(step.effect) for step in steps]
    assert written[0].startswith(r"Set-Content -LiteralPath C:\Windows\ADMT\reconcile-")
    assert written[0].endswith("-Value SourceName,ann -Encoding Ascii -Force")
    assert written[1].startswith(r"run as operator: C:\Windows\ADMT\admt.exe user /SD:source.lab")
    assert [line.split()[0] for line in written[2:]] == ["Remove-Item", "Remove-Item"]


def test_names_beyond_ascii_are_written_as_unicode() -> None:
    assert "-Encoding Unicode" in str(MIGRATION.run(batch(pair("jürgen")))[0].effect)


def test_a_container_is_named_from_the_top() -> None:
    assert canonical_tail(Dn("OU=Staff,OU=Europe,DC=target,DC=lab")) == "Europe/Staff"
