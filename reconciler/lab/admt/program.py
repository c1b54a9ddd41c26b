"""``admt.exe``: its verbs, its help, the encryption keys, and the logs of past tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.lab.admt.database import Database, Task, key_for, store_key
from reconciler.lab.admt.domains import domain_named
from reconciler.lab.admt.errors import DOMAIN_NOT_FOUND, UsageRefused, coded
from reconciler.lab.admt.keyfile import SUFFIX, InvalidKeyPassword, NotAKeyFile, new_key, seal, unseal
from reconciler.lab.admt.migrate import migrate
from reconciler.lab.admt.options import usage, verbs
from reconciler.lab.admt.pes import INVALID_PASSWORD
from reconciler.lab.windows.files import DriveNotFound, NoSuchPath, join, normal

if TYPE_CHECKING:
    from reconciler.lab.windows.contract import Process
    from reconciler.lab.windows.machine import Machine

_HELP = ("/?", "-?", "/help")
_KEY_OPTIONS = ("option", "sourcedomain", "sd", "keyfile", "kf", "keypassword")
_BANNER = "Active Directory Migration Tool version 3.2"


async def admt(process: Process) -> int:
    """Run ``admt <verb> ...``."""
    arguments = list(process.arguments)
    verb = arguments[0].lower() if arguments else "/?"
    if verb in _HELP:
        for line in (_BANNER, "", "admt user | group | computer | password | key | task  [options]", "admt <verb> /?"):
            process.out(line)
        return 0
    if not process.logon.is_administrator:
        process.err("Access is denied.")
        return 1
    if verb in verbs():
        if len(arguments) > 1 and arguments[1].lower() in _HELP:
            for line in usage(verb):
                process.out(line)
            return 0
        return await migrate(process, verb)
    try:
        if verb == "key":
            return _key(process, _colon_values(arguments[1:], _KEY_OPTIONS))
        if verb == "task":
            return _task(process, _colon_values(arguments[1:], ("last", "id", "getlog", "folder")))
        raise UsageRefused(f"Invalid command: {arguments[0]}")
    except UsageRefused as refusal:
        process.err(str(refusal))
        return 1


def _colon_values(arguments: list[str], known: tuple[str, ...]) -> dict[str, str]:
    values = {}
    for argument in arguments:
        name, _, value = argument[1:].partition(":")
        if not argument.startswith("/") or name.lower() not in known:
            raise UsageRefused(f"Invalid option: {argument.partition(':')[0]}")
        values[name.lower()] = value.strip('"')
    return values


def _key(process: Process, values: dict[str, str]) -> int:
    """Create or import a key; both need the name of the source domain, neither speaks to it."""
    machine: Machine = process.machine
    domain = values.get("sourcedomain") or values.get("sd") or ""
    file = values.get("keyfile") or values.get("kf") or ""
    password = values.get("keypassword", "")
    if not domain or not file or values.get("option", "").lower() not in ("create", "import"):
        raise UsageRefused("The OPTION, SOURCEDOMAIN and KEYFILE options must be specified.")
    if password == "*":
        raise UsageRefused("The password cannot be prompted for: there is no console.")
    host = domain_named(machine, domain)
    if host is None:
        raise UsageRefused(coded(DOMAIN_NOT_FOUND))
    path = _key_path(file, process.directory)
    if values["option"].lower() == "create":
        return _create_key(process, host.facts.netbios, domain, path, password)
    return _import_key(process, host.facts.netbios, domain, path, password)


def _create_key(process: Process, netbios: str, domain: str, path: str, password: str) -> int:
    """Make a new key each time; the one before is worth nothing from now on."""
    machine: Machine = process.machine
    key = new_key(netbios)
    try:
        machine.files.write(path, seal(key, password))
    except (NoSuchPath, IsADirectoryError):
        raise UsageRefused(f"Unable to create the encryption key file '{path}'.") from None
    store_key(machine, key)
    process.out(
        f"The password export server encryption key for domain '{domain}' "
        f"was successfully created and saved to '{path}'."
    )
    return 0


def _import_key(process: Process, netbios: str, domain: str, path: str, password: str) -> int:
    machine: Machine = process.machine
    try:
        key = unseal(machine.files.read(path), password)
    except (NoSuchPath, IsADirectoryError):
        raise UsageRefused(f"Unable to open the encryption key file '{path}'.") from None
    except NotAKeyFile:
        raise UsageRefused(f"The file '{path}' is not a valid encryption key file.") from None
    except InvalidKeyPassword:
        raise UsageRefused(INVALID_PASSWORD) from None
    if key.source_domain.upper() != netbios.upper():
        raise UsageRefused(f"The encryption key is not for the domain '{domain}'.")
    if key_for(machine, netbios) != key:
        store_key(machine, key)
    process.out(f"The password export server encryption key for domain '{domain}' was successfully imported.")
    return 0


def _key_path(file: str, directory: str) -> str:
    try:
        path = normal(file, directory)
    except DriveNotFound:
        raise UsageRefused(f"The path '{file}' is not valid.") from None
    return path if path.lower().endswith(SUFFIX) else path + SUFFIX


def _task(process: Process, values: dict[str, str]) -> int:
    """List the last tasks, or write their logs into a folder."""
    machine: Machine = process.machine
    tasks = Database(machine).tasks
    last, number = values.get("last", ""), values.get("id", "")
    if not re.fullmatch(r"\d*", last) or not re.fullmatch(r"\d*", number):
        raise UsageRefused("The LAST and ID options must be numbers.")
    if number:
        tasks = [task for task in tasks if task.number == int(number)]
    if last:
        tasks = tasks[-int(last) :] if int(last) else []
    fetch = values.get("getlog", "no").lower() == "yes"
    for task in tasks:
        process.out(_described(task))
        if fetch:
            path = join(normal(values.get("folder") or process.directory), f"Migration {task.number:04d}.log")
            machine.files.write(path, b"\xff\xfe" + task.log.encode("utf-16-le"), parents=True)
    return 0


def _described(task: Task) -> str:
    return (
        f"{task.number:>5}  {task.verb:<9} {task.started}  {task.finished}  "
        f"succeeded {task.succeeded}, warnings {task.warnings}, errors {task.errors}"
    )
