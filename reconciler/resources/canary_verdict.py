"""What a try has come to: by the log of ADMT's run, by the answer to the logon, and by what both directories show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.core.canonical import digest_of, plain
from reconciler.core.query import Rows
from reconciler.resources import admt_log, rows
from reconciler.resources.account_records import Account
from reconciler.resources.account_runs import explain
from reconciler.resources.canary_record import Record
from reconciler.resources.logon_failures import advice

_SAYS_NOTHING = "look at ADMT's log on the host, and at who else runs ADMT there"
_ELSEWHERE = (
    "if another controller has the account, list the one that runs ADMT first under `controllers` of the target domain"
)


def of_run(record: Record, answer: Rows, key: str, *, passwords: bool) -> Record:
    """Judge the log of a run: failed where it says anything against the account, or nothing about it."""
    log = _log(answer)
    if not log:
        codes = [row["exit_code"] for row in answer if "exit_code" in row]
        return record.failed(f"ADMT wrote no log; its exit code is {codes}", _SAYS_NOTHING)
    told = admt_log.told(log, {key: (record.name,)})[key]
    if told.spoken and not told.against and (told.password == "copied" or not passwords):
        return record
    # What ADMT says, and the advice of the failure table below each line.
    said = explain(log)
    what = next((str(entry) for entry in admt_log.problems(log)), f"its log does not speak of {record.name}")
    return record.failed(f"ADMT did not migrate it: {what}" if not told.spoken else f"ADMT did not finish it: {what}", said or _SAYS_NOTHING)  # fmt: skip


def key_mismatch(answer: Rows, host: str, source: str) -> dict[str, Mapping[str, Any]]:
    """Return the fact that ADMT and PES do not share a key, where the log says that; it has the key imported."""
    found = admt_log.key_mismatch(_log(answer))
    return {} if found is None else {f"pes.mismatch/{host}/{source}": {"message": found.text, "at": found.time}}


def of_logon(record: Record, answer: Rows, target: str) -> Record:
    """Judge the answer to a logon."""
    row = rows.one(answer, "the logon", target)
    way, code = rows.text(row, "way"), rows.text(row, "code")
    if not code:
        return replace(record, standing="through", way=way)
    by = {"kerberos": "Kerberos", "ldap": "an LDAP bind"}.get(way, way)
    said = " ".join(part for part in (code, rows.text(row, "message")) if part)
    return record.failed(f"{record.name} cannot log on to {target} by {by}: {said}", advice(code))


def of_look(record: Record, old: Sequence[Account], new: Sequence[Account], *, sid_history: bool) -> Record:
    """Judge by what both directories show, before it is removed; what failed before has failed."""
    if record.standing == "failed":
        return record
    before = next((one for one in old if one.sam.casefold() == record.name.casefold()), None)
    after = next((one for one in new if one.sam.casefold() == record.name.casefold()), None)
    if after is None:
        return record.failed(f"ADMT says nothing against it, but the target has no {record.name}", _ELSEWHERE)
    if before is None:
        return record.failed(f"somebody removed {record.name} from the source meanwhile", "apply again")
    if sid_history and before.sid not in after.history:
        return record.failed(f"{after.dn} lacks the SID history", "look at ADMT's log on the host")
    return replace(record, standing="proven")


def digest(known: Mapping[str, Any]) -> str:
    """Return what tells facts about keys from others."""
    return digest_of(plain(known))


def _log(answer: Rows) -> tuple[admt_log.Entry, ...]:
    return admt_log.parse(rows.text(row, "line") for row in answer if rows.has(row, "line"))
