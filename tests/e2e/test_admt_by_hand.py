"""ADMT started by hand: its command line repairs nothing, it fails with the words that are documented.

The tests share one migrated lab; each takes one precondition away and puts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import pytest

from tests.e2e import by_hand
from tests.e2e.by_hand import USER_ACCOUNTS
from tests.e2e.lab import Lab
from tests.e2e.windows import Windows

pytestmark = pytest.mark.lab

ADMT = r"C:\Windows\ADMT\admt.exe"
LOG = r"C:\Windows\ADMT\Logs\Migration.log"
# Not one of those whom the program migrated.
BERND = "CN=Bernd Brandt,OU=Migrated,DC=target,DC=lab"
MIGRATE_BERND = (
    "user", "/N", "bernd.brandt", "/SD:source.lab", "/TD:target.lab", "/TO:Migrated", "/MSS:YES", "/PO:COPY", "/PS:srcdc1.source.lab",
)  # fmt: skip
NEVER_RAN, RUNNING = 267011, 267009
NO_SIDS = "Could not verify auditing and TcpipClientSupport on domains. Will not be able to migrate Sid's."
NO_PES = "Unable to establish a session with the password export server."
TASK = """<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Principals><Principal id="Author"><UserId>TARGET\\migrator</UserId><LogonType>Password</LogonType></Principal></Principals>
  <Actions Context="Author"><Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>"""


@pytest.fixture(scope="module", autouse=True)
def leaves_one_more(migrated: Lab) -> Iterator[None]:
    """Let whoever shares the lab next begin without the account that was migrated by hand."""
    yield
    migrated.condition = "in use"


def run_as_operator(lab: Lab, *arguments: str) -> str:
    """Run ADMT under a real logon of the operator, by a scheduled task; return its log."""
    xml = TASK.format(command=escape(ADMT), arguments=escape(" ".join(arguments)))
    credential = {"User": "TARGET\\migrator", "Password": lab.secret("migrator")}
    with lab.windows("target") as windows:
        windows.run("Register-ScheduledTask", TaskName="by hand", Xml=xml, Force=True, **credential)
        windows.run("Start-ScheduledTask", TaskName="by hand")
        while last_result(windows, "by hand") in (NEVER_RAN, RUNNING):
            pass
        windows.run("Unregister-ScheduledTask", TaskName="by hand", Confirm=False)
        return log(windows)


def last_result(windows: Windows, task: str) -> int:
    """Return how a task ended, or that it has not."""
    return int(windows.run("Get-ScheduledTaskInfo", TaskName=task)[0].adapted_properties["LastTaskResult"])


def log(windows: Windows) -> str:
    """Return the log of the last run."""
    return "\n".join(str(line) for line in windows.run("Get-Content", LiteralPath=LOG))


def audit_everything_in_the_source(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.done("auditpol.exe", "/set", f"/subcategory:{USER_ACCOUNTS}", "/success:enable", "/failure:enable")


def audit_everything_in_the_target(lab: Lab) -> None:
    with lab.windows("target") as windows:
        windows.done("auditpol.exe", "/set", f"/subcategory:{USER_ACCOUNTS}", "/success:enable", "/failure:enable")


def put_the_operator_back_into_the_source(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.run("Add-LocalGroupMember", SID="S-1-5-32-544", Member="TARGET\\migrator")


def restart_without_tcpip_client_support(lab: Lab) -> None:
    by_hand.remove_tcpip_client_support(lab)
    lab.restart("source")


def restart_with_tcpip_client_support(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("TcpipClientSupport", "REG_DWORD", "1")
    lab.restart("source")
    by_hand.start_pes(lab)


def restart_without_password_export(lab: Lab) -> None:
    by_hand.forbid_password_export(lab)
    lab.restart("source")
    by_hand.start_pes(lab)


def restart_with_password_export(lab: Lab) -> None:
    with lab.windows("source") as windows:
        windows.set_value("AllowPasswordExport", "REG_DWORD", "1")
    lab.restart("source")
    by_hand.start_pes(lab)


Hand = Callable[[Lab], None]

REFUSED: dict[str, tuple[Hand, Hand, tuple[str, ...]]] = {
    "source not audited": (
        by_hand.audit_less_in_the_source,
        audit_everything_in_the_source,
        (NO_SIDS, "The operation requires that source domain auditing be enabled (Error code = 8552)."),
    ),
    "target not audited": (
        by_hand.audit_less_in_the_target,
        audit_everything_in_the_target,
        (NO_SIDS, "The operation requires that destination domain auditing be enabled (Error code = 8536)."),
    ),
    "no audit group": (
        by_hand.delete_the_audit_group,
        by_hand.make_the_audit_group,
        (NO_SIDS, "The specified local group does not exist."),
    ),
    "somebody in the audit group": (
        by_hand.put_somebody_into_the_audit_group,
        by_hand.empty_the_audit_group,
        ("1378",),
    ),
    "operator not in the source": (
        by_hand.take_the_operator_out_of_the_source,
        put_the_operator_back_into_the_source,
        (NO_SIDS, "Access is denied."),
    ),
    "no TcpipClientSupport": (
        restart_without_tcpip_client_support,
        restart_with_tcpip_client_support,
        (NO_SIDS, "The handle is invalid (Error code = 6)."),
    ),
    "password export forbidden": (
        restart_without_password_export,
        restart_with_password_export,
        (NO_PES, "Access is denied."),
    ),
    "PES stopped": (by_hand.stop_pes, by_hand.start_pes, ("Password Export Service is not running.",)),
    "another key": (
        by_hand.make_another_key,
        by_hand.import_the_key,
        ("do not have the same encryption key for the source domain SOURCE.",),
    ),
}


def test_with_every_precondition_in_place_it_runs(migrated: Lab) -> None:
    said = run_as_operator(migrated, *MIGRATE_BERND)
    assert "Operation completed." in said
    old = migrated.source.one("OU=Staff,DC=source,DC=lab", "(sAMAccountName=bernd.brandt)", "objectSid")
    new = migrated.target.one(BERND, "(objectClass=user)", "sIDHistory")
    assert new["sIDHistory"] == old["objectSid"]


@pytest.mark.parametrize(("take_away", "put_back", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_it_refuses_to_run_and_says_why(migrated: Lab, take_away: Hand, put_back: Hand, words: tuple[str, ...]) -> None:
    take_away(migrated)
    try:
        said = run_as_operator(migrated, *MIGRATE_BERND)
    finally:
        put_back(migrated)
    assert [word for word in words if word not in said] == [], said


def test_a_session_has_no_second_hop(migrated: Lab) -> None:
    with migrated.windows("target") as windows:
        finished = windows.program("admt.exe", *MIGRATE_BERND)
        assert finished.code != 0
        assert "Access is denied." in finished.text + log(windows)


def test_a_password_that_cannot_be_copied_is_replaced_by_a_random_one_with_a_warning(migrated: Lab) -> None:
    migrated.target.delete(BERND)
    by_hand.restrict_anonymous(migrated)
    said = run_as_operator(migrated, *MIGRATE_BERND)
    with migrated.windows("target") as windows:
        windows.set_value("RestrictAnonymous", "REG_DWORD", "0")
    assert "WRN1:7557" in said
    assert "Failed to copy the password for bernd.brandt. A strong password has been generated instead." in said
