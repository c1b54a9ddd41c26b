"""The hosts of the simulated world: exactly the commands that the kinds send, with what they do to the tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.core.errors import Refused
from reconciler.core.query import Command, Rows
from reconciler.core.secret import SecretRef, Template
from reconciler.core.steps import AttributeChange, CopyFile, ModifyEntry, Restart
from reconciler.core.values import Sid
from tests.crash.simulated_directory import HEADS, add, canonical, entry, modify_entry
from tests.crash.simulated_start import HOSTS, SIDS, boot
from tests.crash.simulated_tasks import Tasks

ADMT, PES = "Active Directory Migration Tool", "ADMT Password Migration DLL"
CODES = {ADMT: "{6B29FC40-CA47-1067-B31D-00DD010662DA}", PES: "{7C30AD51-DB58-2178-C42E-11EE121773EB}"}
NOW = "2026-11-20T18:00:00+00:00"
_DONE: Rows = ({"exit_code": 0},)
_REGISTRY_TYPES = {"DWord": "REG_DWORD", "String": "REG_SZ"}
_TRUST = {
    "source": f"CN=target.lab,CN=System,{HEADS['source']}",
    "target": f"CN=source.lab,CN=System,{HEADS['target']}",
}
_QUARANTINED = "4"


class Twice(AssertionError):
    """What must happen once happened again although the first time took effect."""


class Hosts(Tasks):
    """Commands by name. One that no kind sends is not known."""

    def run(self, command: Command) -> Rows:
        """Answer or carry out a command."""
        name = command.name.removesuffix(".exe").replace("-", "_").lower()
        handler: Callable[[Command, Mapping[str, Any]], Rows] | None = getattr(self, f"on_{name}", None)
        assert handler is not None, f"the simulated world does not know {command}"
        return handler(command, dict(command.parameters))

    # Registry.

    def on_get_itemproperty(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if "Name" in given:
            found = self.tables.registry.get((command.host, given["Path"], given["Name"]))
            return ({given["Name"]: found[1]},) if found else ()
        if "WOW6432Node" in given["Path"]:
            return ()
        installed = ((name, version) for (host, name), version in self.tables.software.items() if host == command.host)
        return tuple(
            {"DisplayName": name, "DisplayVersion": version, "PSChildName": CODES[name], "UninstallString": f"MsiExec.exe /I{CODES[name]}"}
            for name, version in installed
        )  # fmt: skip

    def on_reg(self, command: Command, given: Mapping[str, Any]) -> Rows:
        path, name = str(command.arguments[1]).replace("HKLM", "HKLM:", 1), str(command.arguments[3])
        found = self.tables.registry.get((command.host, path, name))
        return ({"line": f"    {name}    {found[0]}    {found[1]}"}, *_DONE) if found else ({"exit_code": 1},)

    def on_new_itemproperty(self, command: Command, given: Mapping[str, Any]) -> Rows:
        value = (_REGISTRY_TYPES[given["PropertyType"]], given["Value"])
        self.tables.registry[command.host, given["Path"], given["Name"]] = value
        return ()

    def on_remove_itemproperty(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if self.tables.registry.pop((command.host, given["Path"], given["Name"]), None) is None:
            raise _refused(command, "the property does not exist")
        return ()

    # Files.

    def on_get_item(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if "Path" in given:
            return ({"PSPath": given["Path"]},)  # the only registry key that is asked for is always there
        return ({"FullName": given["LiteralPath"]},) if self._exists(command.host, given["LiteralPath"]) else ()

    def on_get_filehash(self, command: Command, given: Mapping[str, Any]) -> Rows:
        content = self.tables.files.get((command.host, given["Path"]))
        return () if content is None else ({"Hash": hashlib.sha256(content.encode()).hexdigest().upper()},)

    def on_test_path(self, command: Command, given: Mapping[str, Any]) -> Rows:
        where = (command.host, given["LiteralPath"])
        directory = where in self.tables.directories
        return ({"value": directory if "PathType" in given else directory or where in self.tables.files},)

    def on_get_childitem(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return tuple({"Name": name} for name in self._inside(command.host, given["LiteralPath"]))

    def on_new_item(self, command: Command, given: Mapping[str, Any]) -> Rows:
        assert given.get("ItemType") == "Directory", command
        if self._exists(command.host, given["Path"]):
            raise _refused(command, "it exists")
        self.tables.directories[command.host, given["Path"]] = True
        return ()

    def on_remove_item(self, command: Command, given: Mapping[str, Any]) -> Rows:
        where = (command.host, given["LiteralPath"])
        if not self._exists(*where):
            if command.absent:
                return ()
            raise _refused(command, "it does not exist")
        assert not self._inside(*where), command
        self.tables.files.pop(where, None)
        self.tables.directories.pop(where, None)
        return ()

    def on_set_content(self, command: Command, given: Mapping[str, Any]) -> Rows:
        self._write(command.host, given["LiteralPath"], "\n".join(given["Value"]))
        return ()

    def copy(self, effect: CopyFile) -> Rows:
        """Bring a file from one host to another."""
        content = self.tables.files.get((effect.source_host, effect.source_path))
        if content is None:
            raise Refused("no such file", target=effect.source_host)
        self._write(effect.host, effect.path, content)
        return ()

    def _write(self, host: str, path: str, content: str) -> None:
        if (host, path.rpartition("\\")[0]) not in self.tables.directories:
            raise Refused("no such directory", target=host, where=path)
        self.tables.files[host, path] = content

    def _exists(self, host: str, path: str) -> bool:
        return (host, path) in self.tables.files or (host, path) in self.tables.directories

    def _inside(self, host: str, path: str) -> list[str]:
        held = (*self.tables.files, *self.tables.directories)
        return [name.rpartition("\\")[2] for where, name in held if where == host and name.rpartition("\\")[0] == path]

    # Services, software, restarts.

    def on_get_ciminstance(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if given["ClassName"] == "Win32_OperatingSystem":
            count = self.tables.count[f"boot/{command.host}"]
            booted = f"2026-01-{count // 24 + 1:02}T{count % 24:02}:00:00+00:00"
            return ({"LastBootUpTime": booted, "LocalDateTime": NOW},)
        found = self.tables.services.get((command.host, given["Filter"].split("'")[1]))
        return ({"State": found[0], "StartMode": found[1], "StartName": found[2]},) if found else ()

    def on_set_service(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return self._service(
            command, given["Name"], mode={"Automatic": "Auto"}.get(given["StartupType"], given["StartupType"])
        )

    def on_start_service(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return self._service(command, given["Name"], state="Running")

    def on_stop_service(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return self._service(command, given["Name"], state="Stopped")

    def _service(self, command: Command, name: str, *, state: str = "", mode: str = "") -> Rows:
        found = self.tables.services.get((command.host, name))
        if found is None:
            raise _refused(command, "no such service")
        self.tables.services[command.host, name] = (state or found[0], mode or found[1], found[2])
        return ()

    def on_start_process(self, command: Command, given: Mapping[str, Any]) -> Rows:
        host, arguments = command.host, given["ArgumentList"]
        if given["FilePath"] == r"C:\Install\admtsetup32.exe":
            return self._install(host, ADMT)
        assert given["FilePath"] == "msiexec.exe", command
        if arguments[0] == "/x":
            name = next(name for name, code in CODES.items() if code == arguments[1])
            self.tables.services.pop((host, "PesSvc" if name == PES else ""), None)
            return ({"ExitCode": 1605 if self.tables.software.pop((host, name), None) is None else 0},)
        key_file = next(str(part)[len("PESKEYFILE=") :] for part in arguments if str(part).startswith("PESKEYFILE="))
        if (host, key_file) not in self.tables.files or not any(isinstance(part, Template) for part in arguments):
            return ({"ExitCode": 1603},)
        self._install(host, PES)
        self.tables.pes_keys[host] = self.tables.files[host, key_file]
        self.tables.services[host, "PesSvc"] = ("Stopped", "Manual", "LocalSystem")
        return ({"ExitCode": 3010},)

    def _install(self, host: str, name: str) -> Rows:
        if (host, name) in self.tables.software:
            raise Twice(f"{name} is installed on {host} a second time")
        self.tables.software[host, name] = "3.2"
        return ({"ExitCode": 0},)

    def restart(self, effect: Restart) -> Rows:
        """Restart a host: what was set before counts from now on; services start as they are configured."""
        self.tables.count[f"boot/{effect.host}"] += 1
        boot(self.tables, effect.host)
        for (host, name), (_, mode, account) in list(self.tables.services.items()):
            if host == effect.host:
                self.tables.services[host, name] = ("Running" if mode == "Auto" else "Stopped", mode, account)
        return ()

    # Auditing.

    def on_auditpol(self, command: Command, given: Mapping[str, Any]) -> Rows:
        if command.arguments[0] == "/get":
            policy = ((guid, word) for (host, guid), word in self.tables.audit.items() if host == command.host)
            return (*({"line": f"X,System,name,{{{guid.upper()}}},{word},"} for guid, word in policy), *_DONE)
        guid, success, failure = (str(part).partition(":")[2] for part in command.arguments[1:])
        words = {
            ("enable", "enable"): "Success and Failure",
            ("enable", "disable"): "Success",
            ("disable", "enable"): "Failure",
        }
        self.tables.audit[command.host, guid.strip("{}").lower()] = words.get((success, failure), "No Auditing")
        return _DONE

    def on_gpupdate(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return _DONE

    def on_select_string(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return ()  # no policy of the simulated world says anything about auditing

    # Groups and trusts. Both hosts are controllers: their local groups are the domain's.

    def on_get_localgroupmember(self, command: Command, given: Mapping[str, Any]) -> Rows:
        domain = HOSTS[command.host]
        members = self.tables.entries[domain, canonical(self._group(domain))].texts("member")
        found = (self.tables.entries[domain, canonical(dn)].attributes["objectsid"][0] for dn in members)
        return tuple({"SID": {"Value": str(Sid.from_bytes(sid))}} for sid in found)

    def on_add_localgroupmember(self, command: Command, given: Mapping[str, Any]) -> Rows:
        return self._membership(command, AttributeChange("member", "add", (f"<SID={given['Member']}>",)))

    def on_remove_localgroupmember(self, command: Command, given: Mapping[str, Any]) -> Rows:
        sid, domain = Sid(str(given["Member"])).to_bytes(), HOSTS[command.host]
        dn = next(
            e.dn
            for (d, _), e in self.tables.entries.items()
            if d == domain and sid in e.attributes.get("objectsid", ())
        )
        return self._membership(command, AttributeChange("member", "delete", (dn,)))

    def _membership(self, command: Command, change: AttributeChange) -> Rows:
        domain = HOSTS[command.host]
        modify_entry(self.tables.entries, ModifyEntry(domain, self._group(domain), (change,)))
        return ()

    def _group(self, domain: str) -> str:
        return f"CN=Administrators,CN=Builtin,{HEADS[domain]}"

    def on_nltest(self, command: Command, given: Mapping[str, Any]) -> Rows:
        known = all((domain, canonical(dn)) in self.tables.entries for domain, dn in _TRUST.items())
        return (
            ({"line": "Status = 0 0x0 NERR_Success"}, *_DONE)
            if known
            else ({"line": "Status = 1355"}, {"exit_code": 1355})
        )

    def on_netdom(self, command: Command, given: Mapping[str, Any]) -> Rows:
        words = [str(part) for part in command.arguments]
        assert words[:3] == ["trust", "source.lab", "/domain:target.lab"], command
        known = ("source", canonical(_TRUST["source"])) in self.tables.entries
        if known == ("/add" in words):
            raise _refused(command, "the trust exists" if known else "there is no such trust")
        for domain, other in (("source", "target"), ("target", "source")):
            if "/remove" in words:
                del self.tables.entries[domain, canonical(_TRUST[domain])]
            elif "/add" in words:
                self.trust(domain, other, _QUARANTINED)
        if "/quarantine:no" in words or "/quarantine:yes" in words:
            self.trust("source", "target", "0" if "/quarantine:no" in words else _QUARANTINED)
        return _DONE

    def trust(self, domain: str, other: str, attributes: str) -> None:
        """Let one domain know the trust."""
        made = entry(
            _TRUST[domain], objectClass="trustedDomain", trustPartner=f"{other}.lab", flatName=other.upper(), securityIdentifier=SIDS[other],
            trustDirection="3", trustType="2", trustAttributes=attributes,
        )  # fmt: skip
        add(self.tables.entries, domain, made)

    # The key.

    def on_admt(self, command: Command, given: Mapping[str, Any]) -> Rows:
        words = [part if isinstance(part, str) else "" for part in command.arguments]
        assert words[0] == "key" and words[1] in ("/option:create", "/option:import"), command
        if (command.host, ADMT) not in self.tables.software:
            raise _refused(command, "ADMT is not installed")
        password = command.arguments[-1]
        assert isinstance(password, Template) and any(isinstance(part, SecretRef) for part in password.parts), command
        key_file = next(word.removeprefix("/keyfile:") for word in words if word.startswith("/keyfile:"))
        if words[1] == "/option:import":
            assert command.host != "admt", "the key is made there: no import"
            self.tables.admt_keys[command.host] = self.tables.files[command.host, key_file]
            return _DONE
        if command.host in self.tables.admt_keys:
            raise Twice("the key is made a second time")
        self.tables.count["serial"] += 1
        key = f"key {self.tables.count['serial']}"
        self._write(command.host, key_file, key)
        self.tables.admt_keys[command.host] = key
        return _DONE


def _refused(command: Command, what: str) -> Refused:
    return Refused(f"{command}: {what}", target=command.host, code=what)
