"""The command line of ``admt user``, ``group`` and ``password``: long and short names, colon values, include lists."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.lab.admt.errors import UsageRefused

_YES_NO = r"YES|NO"
_ANY = r".+"


@dataclass(frozen=True, slots=True)
class _Option:
    long: str
    short: str
    values: str = _ANY  # pattern over the upper-case value


def _table(*rows: tuple[str, str] | tuple[str, str, str]) -> dict[str, _Option]:
    options = [_Option(*row) for row in rows]
    return {name: option for option in options for name in (option.long, option.short)}


_COMMON = (
    ("OPTIONFILE", "O"),
    ("INTRAFOREST", "IF", _YES_NO),
    ("SOURCEDOMAIN", "SD"),
    ("SOURCEDOMAINCONTROLLER", "SDC"),
    ("SOURCEOU", "SO"),
    ("TARGETDOMAIN", "TD"),
    ("TARGETDOMAINCONTROLLER", "TDC"),
    ("TARGETOU", "TO"),
    ("INCLUDENAME", "N"),
    ("INCLUDEFILE", "F"),
    ("INCLUDEDOMAIN", "D", r"|RECURSE(\+(FLATTEN|MAINTAIN))?"),
    ("EXCLUDENAME", "EN"),
    ("EXCLUDEFILE", "EF"),
)
_MERGE = (
    ("CONFLICTOPTIONS", "CO", r"IGNORE|MERGE(\+(REMOVEUSERRIGHTS|REMOVEMEMBERS|MOVEMERGEDACCOUNTS))*"),
    ("MIGRATESIDS", "MSS", _YES_NO),
    ("UPDATEPREVIOUSLYMIGRATEDOBJECTS", "UMO", _YES_NO),
    ("FIXGROUPMEMBERSHIP", "FGM", _YES_NO),
    ("GROUPPROPERTIESTOEXCLUDE", "GX"),
)
_SIDES = r"ENABLETARGET|DISABLETARGET|TARGETSAMEASSOURCE"
_VERBS: Mapping[str, Mapping[str, _Option]] = {
    "user": _table(
        *_COMMON,
        *_MERGE,
        ("PASSWORDOPTION", "PO", r"(COMPLEX|COPY)(\+NOTEXISTING)?"),
        ("PASSWORDSERVER", "PS"),
        ("PASSWORDFILE", "PF"),
        ("DISABLEOPTION", "DOT", rf"DISABLESOURCE|(DISABLESOURCE\+)?({_SIDES})"),
        ("SOURCEEXPIRATION", "SEP", r"NONE|\d{1,4}"),
        ("TRANSLATEROAMINGPROFILE", "TRP", _YES_NO),
        ("UPDATEUSERRIGHTS", "UUR", _YES_NO),
        ("MIGRATEGROUPS", "MGS", _YES_NO),
        ("MIGRATESERVICEACCOUNTS", "MSA", _YES_NO),
        ("USERPROPERTIESTOEXCLUDE", "UX"),
        ("INETORGPERSONPROPERTIESTOEXCLUDE", "IX"),
    ),
    "group": _table(
        *_COMMON,
        *_MERGE,
        ("UPDATEGROUPRIGHTS", "UGR", _YES_NO),
        ("MIGRATEMEMBERS", "MMB", _YES_NO),
    ),
    # Names and values of these are background knowledge; only the migration of the account itself is simulated. [K]
    "computer": _table(
        *_COMMON,
        ("CONFLICTOPTIONS", "CO", r"IGNORE|MERGE(\+MOVEMERGEDACCOUNTS)?"),
        ("COMPUTERPROPERTIESTOEXCLUDE", "CX"),
        ("TRANSLATIONOPTION", "TOT", r"REPLACE|ADD|REMOVE"),
        ("TRANSLATEFILESANDFOLDERS", "TFF", _YES_NO),
        ("TRANSLATELOCALGROUPS", "TLG", _YES_NO),
        ("TRANSLATEPRINTERS", "TPS", _YES_NO),
        ("TRANSLATEREGISTRY", "TRG", _YES_NO),
        ("TRANSLATESHARES", "TSH", _YES_NO),
        ("TRANSLATEUSERPROFILES", "TUP", _YES_NO),
        ("TRANSLATEUSERRIGHTS", "TUR", _YES_NO),
        ("RESTARTDELAY", "RDL", r"\d{1,3}"),
    ),
    "password": _table(*_COMMON, ("PASSWORDSERVER", "PS"), ("PASSWORDFILE", "PF")),
}
_INCLUDES = ("INCLUDENAME", "INCLUDEFILE", "INCLUDEDOMAIN")
_LISTS = ("INCLUDENAME", "EXCLUDENAME")
_SECTIONS = {"user": "User", "group": "Group", "computer": "Computer", "password": "Password"}


@dataclass(frozen=True, slots=True)
class Options:
    """One accepted command line; names are the long ones."""

    verb: str
    values: Mapping[str, str]
    names: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    given: frozenset[str] = field(default_factory=frozenset)

    def text(self, name: str, default: str = "") -> str:
        """Return an option's value as it was written."""
        return self.values.get(name, default)

    def words(self, name: str, default: str) -> tuple[str, ...]:
        """Return a ``+``-joined value in upper case."""
        return tuple(self.values.get(name, default).upper().split("+"))

    def yes(self, name: str, default: bool = False) -> bool:
        """Return a YES/NO option."""
        return self.values[name].upper() == "YES" if name in self.values else default


def parse(verb: str, arguments: Sequence[str], read: Callable[[str], str]) -> Options:
    """Read a command line; ``read`` returns the text of an option file.

    The last of two equal options wins; only names add up. [CHM-notes]

    Raises:
        UsageRefused: An option is unknown, has a value it cannot have, or a required one is missing.
    """
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    rest = list(arguments)
    while rest:
        option, colon, value = _split(verb, rest.pop(0))
        if option.long in _LISTS:
            if colon:
                raise UsageRefused(f"The {option.long} option takes names separated by spaces, without a colon.")
            while rest and not rest[0].startswith("/"):
                lists[option.long].append(_unquoted(rest.pop(0)))
            continue
        if not re.fullmatch(option.values, value.upper()):
            raise UsageRefused(f"Invalid value '{value}' for the {option.long} option.")
        values[option.long] = value
    if "OPTIONFILE" in values:
        values = {**_option_file(verb, read(values["OPTIONFILE"])), **values}
    given = frozenset(values) | {name for name in _LISTS if lists[name]}
    _require(verb, values, given)
    return Options(verb, values, tuple(lists["INCLUDENAME"]), tuple(lists["EXCLUDENAME"]), given)


def usage(verb: str) -> list[str]:
    """Return the options of a verb as ``admt <verb> /?`` prints them."""
    options = dict.fromkeys(option for option in _VERBS[verb].values())
    return [f"ADMT {verb.upper()} options:", *(f"  /{option.long:<34} /{option.short}" for option in options)]


def verbs() -> tuple[str, ...]:
    """Return the verbs that take these options."""
    return tuple(_VERBS)


def _split(verb: str, argument: str) -> tuple[_Option, bool, str]:
    if not argument.startswith("/"):
        raise UsageRefused(f"Invalid argument: {argument}")
    name, colon, value = argument[1:].partition(":")
    option = _VERBS[verb].get(name.upper())
    if option is None:
        raise UsageRefused(f"Invalid option: /{name}")
    return option, bool(colon), _unquoted(value)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _require(verb: str, values: Mapping[str, str], given: frozenset[str]) -> None:
    for name in ("SOURCEDOMAIN", "TARGETDOMAIN"):
        if name not in values:
            raise UsageRefused(f"The {name} option must be specified.")
    if verb != "password" and "TARGETOU" not in values:
        raise UsageRefused("The TARGETOU option must be specified.")
    if sum(name in given for name in _INCLUDES) != 1:
        raise UsageRefused("Exactly one of INCLUDENAME, INCLUDEFILE and INCLUDEDOMAIN must be specified.")
    copies = verb == "password" or values.get("PASSWORDOPTION", "").upper().startswith("COPY")
    if copies and "PASSWORDSERVER" not in values:
        raise UsageRefused("The PASSWORDSERVER option must be specified to copy passwords.")
    days = values.get("SOURCEEXPIRATION", "NONE")
    if days.isdigit() and not 1 <= int(days) <= 1095:
        raise UsageRefused("The SOURCEEXPIRATION option must be NONE or between 1 and 1095 days.")
    if values.get("INTRAFOREST", "NO").upper() == "YES":
        raise UsageRefused("The INTRAFOREST option is not simulated by this lab.")


def _option_file(verb: str, text: str) -> dict[str, str]:
    """Read long option names from the common section and the verb's own."""
    parser = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise UsageRefused("The option file could not be read.") from error
    values: dict[str, str] = {}
    for section in ("Migration", _SECTIONS[verb]):
        for name, value in parser[section].items() if section in parser else ():
            option = _VERBS[verb].get(name.upper())
            if option is None or option.long != name.upper():
                raise UsageRefused(f"Invalid option in the option file: {name}")
            if not re.fullmatch(option.values, value.upper()):
                raise UsageRefused(f"Invalid value '{value}' for the {option.long} option.")
            values[option.long] = _unquoted(value)
    return values
