"""What somebody does to a lab behind the program's back, each thing with the tools of an administrator."""

from __future__ import annotations

import subprocess
import uuid

from tests.e2e.directory import ldif_line
from tests.e2e.lab import Lab, Role
from tests.e2e.security import without
from tests.e2e.windows import Windows

KEY_FILE = r"C:\PES\source.pes"
SERVICE = "PesSvc"
PRE_WINDOWS_2000 = "CN=Pre-Windows 2000 Compatible Access,CN=Builtin,DC=target,DC=lab"
AUDIT_GROUP = "CN=SOURCE$$$,CN=Users,DC=source,DC=lab"
ALICE = "CN=Alice Adler,OU=Staff,DC=source,DC=lab"
MIGRATED_ALICE = "CN=Alice Adler,OU=Migrated,DC=target,DC=lab"
MIGRATED = "OU=Migrated,DC=target,DC=lab"
GLOBAL_SECURITY_GROUP, LOCAL_SECURITY_GROUP = -2147483646, -2147483644
USER_ACCOUNTS = "{0CCE9235-69AE-11D9-BED3-505054503030}"
CONTROLLERS_POLICY = "{6AC1786C-016F-11D2-945F-00C04fB984F9}"
AUDIT_FOLDER = rf"C:\Windows\SYSVOL\domain\Policies\{CONTROLLERS_POLICY}\MACHINE\Microsoft\Windows NT\Audit"
AUDIT_HEADER = (
    "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting,Setting Value"
)


def quarantine_the_trust(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.done("netdom.exe", "trust", "source.lab", "/domain:target.lab", "/quarantine:yes")


def delete_the_targets_side_of_the_trust(lab: Lab) -> None:
    lab.target.delete("CN=source.lab,CN=System,DC=target,DC=lab")


def remove_what_is_left_of_the_trust(lab: Lab) -> None:
    credential = ("/userd:TARGET\\Administrator", f"/passwordd:{lab.secret('target-admin')}")
    with lab.windows("source") as windows:
        windows.done("netdom.exe", "trust", "source.lab", "/domain:target.lab", "/remove", "/force", *credential)


def uninstall_admt(lab: Lab) -> None:
    with lab.windows("target") as windows:
        _uninstall(windows, "Active Directory Migration Tool")


def uninstall_pes(lab: Lab) -> None:
    with lab.windows("source") as windows:
        _uninstall(windows, "Active Directory Migration Tool Password Migration DLL")


def delete_the_audit_group(lab: Lab) -> None:
    lab.source.delete(AUDIT_GROUP)


def put_somebody_into_the_audit_group(lab: Lab) -> None:
    lab.source.change(AUDIT_GROUP, "add", "member", ALICE)


def make_the_audit_group_global(lab: Lab) -> None:
    lab.source.delete(AUDIT_GROUP)
    lab.source.modify(
        f"dn: {AUDIT_GROUP}\nchangetype: add\nobjectClass: group\n"
        f"sAMAccountName: SOURCE$$$\ngroupType: {GLOBAL_SECURITY_GROUP}\n"
    )


def make_the_audit_group(lab: Lab) -> None:
    lab.source.modify(
        f"dn: {AUDIT_GROUP}\nchangetype: add\nobjectClass: group\n"
        f"sAMAccountName: SOURCE$$$\ngroupType: {LOCAL_SECURITY_GROUP}\n"
    )


def empty_the_audit_group(lab: Lab) -> None:
    lab.source.change(AUDIT_GROUP, "delete", "member", ALICE)


def remove_tcpip_client_support(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.remove_value("TcpipClientSupport")


def make_tcpip_client_support_a_text(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("TcpipClientSupport", "REG_SZ", "1")


def audit_less_in_the_source(lab: Lab) -> None:
    _audit(lab, "source", "/failure:disable")


def audit_less_in_the_target(lab: Lab) -> None:
    _audit(lab, "target", "/success:disable")


def audit_less_by_group_policy(lab: Lab) -> None:
    """Define user account auditing as success only in the Default Domain Controllers Policy, and apply it."""
    line = f",System,User Account Management,{USER_ACCOUNTS},Success,,1"
    with lab.windows("target") as windows:
        windows.run("New-Item", Path=AUDIT_FOLDER, ItemType="Directory", Force=True)
        windows.run("Set-Content", LiteralPath=rf"{AUDIT_FOLDER}\audit.csv", Value=[AUDIT_HEADER, line])
        windows.done("gpupdate.exe", "/target:computer", "/force")


def withdraw_the_group_policy(lab: Lab) -> None:
    with lab.windows("target") as windows:
        windows.run("Remove-Item", LiteralPath=rf"{AUDIT_FOLDER}\audit.csv")


def delete_the_key_file_on_the_pes_host(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.run("Remove-Item", LiteralPath=KEY_FILE)


def delete_the_key_file_on_the_admt_host(lab: Lab) -> None:
    with lab.windows("target") as windows:
        windows.run("Remove-Item", LiteralPath=KEY_FILE)


def bring_the_key_file_back_to_the_admt_host(lab: Lab) -> None:
    with lab.windows("source") as windows:
        content = bytes(windows.run("Get-Content", LiteralPath=KEY_FILE, Encoding="Byte", Raw=True)[0])
    with lab.windows("target") as windows:
        windows.run("Set-Content", LiteralPath=KEY_FILE, Value=content, Encoding="Byte")


def make_another_key(lab: Lab) -> None:
    """Give ADMT a key that PES was not installed with."""
    options = (
        "/option:create",
        "/sourcedomain:source.lab",
        r"/keyfile:C:\Windows\Temp\other.pes",
        "/keypassword:Other-1",
    )
    with lab.windows("target") as windows:
        windows.done("admt.exe", "key", *options)
        windows.run("Remove-Item", LiteralPath=r"C:\Windows\Temp\other.pes")


def import_the_key(lab: Lab) -> None:
    """Give ADMT the key again that PES was installed with."""
    options = (
        "/option:import",
        "/sourcedomain:source.lab",
        f"/keyfile:{KEY_FILE}",
        f"/keypassword:{lab.secret('key-password')}",
    )
    with lab.windows("target") as windows:
        windows.done("admt.exe", "key", *options)


def forbid_password_export(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("AllowPasswordExport", "REG_DWORD", "0")


def stop_pes(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.run("Stop-Service", Name=SERVICE)


def start_pes(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.run("Start-Service", Name=SERVICE)


def start_pes_automatically(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.done("sc.exe", "config", SERVICE, "start=", "auto")


def run_pes_as_network_service(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.done("sc.exe", "config", SERVICE, "obj=", r"NT AUTHORITY\NetworkService")


def restrict_anonymous(lab: Lab) -> None:
    with lab.windows("target") as windows:
        windows.set_value("RestrictAnonymous", "REG_DWORD", "1")


def take_everyone_out_of_the_old_group(lab: Lab) -> None:
    lab.target.change(PRE_WINDOWS_2000, "delete", "member", "<SID=S-1-1-0>")


def take_anonymous_out_of_the_old_group(lab: Lab) -> None:
    lab.target.change(PRE_WINDOWS_2000, "delete", "member", "<SID=S-1-5-7>")


def take_the_operator_out_of_the_source(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.run("Remove-LocalGroupMember", SID="S-1-5-32-544", Member="TARGET\\migrator")


def take_the_operator_out_of_the_admt_host(lab: Lab) -> None:
    with lab.windows("target") as windows:
        windows.run("Remove-LocalGroupMember", SID="S-1-5-32-544", Member="TARGET\\migrator")


def rights(policy: str) -> str:
    """Return, as it stands in a state file, a few rights on one container for a while; ``policy`` is a line of its own."""
    return f"""\
resources:
  - kind: ad.access
    domain: target
    object: {MIGRATED}
    trustee: 'TARGET\\migrator'
    grants:
      - {{right: create-child, of: user, applies: both}}
      - {{right: control, of: Reset Password, applies: descendants, class: user}}
    during: [migrate]
    {policy}
"""


def take_away_a_right(lab: Lab, dn: str, right: uuid.UUID) -> None:
    descriptor = lab.target.security_descriptor(dn)
    left = ldif_line("nTSecurityDescriptor", without(descriptor, right, lab.migrator_sid))
    _in_the_database(lab, f"dn: {dn}\nchangetype: modify\nreplace: nTSecurityDescriptor\n{left}-\n", "sd_flags:1:4")


def turn_lsa_protection_on(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("RunAsPPL", "REG_DWORD", "1")


def turn_lsa_protection_off(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.remove_value("RunAsPPL")


def delete_a_migrated_account(lab: Lab) -> None:
    lab.target.delete(MIGRATED_ALICE)


def delete_the_history_of_an_account(lab: Lab) -> None:
    _in_the_database(lab, f"dn: {MIGRATED_ALICE}\nchangetype: modify\ndelete: sIDHistory\n-\n")


def _uninstall(windows: Windows, name: str) -> None:
    (code,) = (code for code, found in windows.software().items() if found == name)
    windows.done("msiexec.exe", "/x", code, "/qn", "/norestart")


def _in_the_database(lab: Lab, change: str, *controls: str) -> None:
    """Change the target's directory where it lies, past every check."""
    database = lab.directory / "target" / "private" / "sam.ldb"
    command = ["ldbmodify", "-H", str(database), *(f"--controls={control}" for control in controls)]
    subprocess.run(command, input=change, text=True, check=True, capture_output=True)


def _audit(lab: Lab, role: Role, switch: str) -> None:
    with lab.windows(role) as windows:
        windows.done("auditpol.exe", "/set", f"/subcategory:{USER_ACCOUNTS}", switch)
