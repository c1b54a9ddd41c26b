"""Read WS-Management requests and write responses and faults."""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from xml.sax.saxutils import escape

NAMESPACES = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
}
POWERSHELL = "{http://schemas.microsoft.com/powershell}"
CONTENT_TYPE = "application/soap+xml;charset=UTF-8"
_DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
_FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
_DURATION = re.compile(r"P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?")


class Fault(Exception):
    """A WSMan fault with the code that clients look at."""

    def __init__(self, code: int, text: str, subcode: str = "w:InternalError") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.subcode = subcode


def access_denied() -> Fault:
    return Fault(5, "Access is denied. ", "w:AccessDenied")


def aborted() -> Fault:
    text = "The I/O operation has been aborted because of either a thread exit or an application request."
    return Fault(995, text)


def internal_error(text: str) -> Fault:
    return Fault(1359, f"An internal error occurred. ({text})")


def timed_out() -> Fault:
    text = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  "
    return Fault(2150858793, text, "w:TimedOut")


def no_such_resource(uri: str) -> Fault:
    text = (
        f"The WS-Management service cannot process the request. The resource URI ({uri}) was not found in the "
        "WS-Management catalog. The catalog contains the metadata that describes resources, or logical endpoints."
    )
    return Fault(2150858811, text, "a:DestinationUnreachable")


def no_such_shell(shell_id: str) -> Fault:
    text = (
        f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
        "server. Provide the correct ShellId or create a new shell and retry the operation."
    )
    return Fault(2150858843, text, "w:InvalidSelectors")


def no_such_command() -> Fault:
    return Fault(2150858844, "The command id is not valid.", "w:InvalidSelectors")


def too_many_shells(limit: int) -> Fault:
    text = (
        "The WS-Management service cannot process the request. This user is allowed a maximum number of "
        f"{limit} concurrent shells, which has been exceeded. Close existing shells or raise the quota for this user."
    )
    return Fault(2150859173, text, "w:QuotaLimit")


def too_many_commands() -> Fault:
    text = (
        "The WS-Management service cannot process the request. The maximum number of concurrent commands per shell "
        "has been exceeded. Retry the request later or raise the Maximum Commands per Shell quota."
    )
    return Fault(2150859174, text, "w:QuotaLimit")


def not_connectable(text: str) -> Fault:
    return Fault(2150859209, text)


@dataclass(frozen=True, slots=True)
class Request:
    """One WS-Management request.

    Attributes:
        operation: Last part of the action URI: Create, Command, Receive ...
        timeout_s: OperationTimeout.
        largest_answer: MaxEnvelopeSize in bytes.
    """

    action: str
    operation: str
    uri: str
    message_id: str
    session: str
    to: str
    timeout_s: float
    largest_answer: int
    selectors: dict[str, str]
    body: ET.Element

    @property
    def shell_id(self) -> str:
        return self.selectors.get("ShellId", "").upper()


def read(envelope: bytes) -> Request:
    """Read a request.

    Raises:
        Fault: It is no SOAP envelope.
    """
    try:
        root = ET.fromstring(envelope)  # noqa: S314 - a test lab on loopback; expat limits entity expansion itself
    except ET.ParseError as bad:
        raise internal_error(f"malformed XML: {bad}") from bad
    header, body = root.find("s:Header", NAMESPACES), root.find("s:Body", NAMESPACES)
    if header is None or body is None:
        raise internal_error("no SOAP header or body")

    def text(path: str) -> str:
        return (header.findtext(path, "", NAMESPACES) or "").strip()

    selectors = {
        found.get("Name", ""): found.text or "" for found in header.findall("w:SelectorSet/w:Selector", NAMESPACES)
    }
    size = text("w:MaxEnvelopeSize")
    return Request(
        action=text("a:Action"),
        operation=text("a:Action").rsplit("/", 1)[-1],
        uri=text("w:ResourceURI"),
        message_id=text("a:MessageID"),
        session=text("p:SessionId"),
        to=text("a:To"),
        timeout_s=seconds(text("w:OperationTimeout"), 60.0),
        largest_answer=int(size) if size.isdigit() else 153600,
        selectors=selectors,
        body=body,
    )


def response(request: Request, content: str) -> bytes:
    """Write the answer to a request."""
    return _envelope(request.action + "Response", request.message_id, content)


def fault(found: Fault, message_id: str, machine: str) -> bytes:
    """Write a fault."""
    text = escape(found.text)
    content = (
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{found.subcode}</s:Value></s:Subcode>"
        f'</s:Code><s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail><f:WSManFault '
        f'xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{found.code}" '
        f'Machine="{escape(machine)}"><f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>'
    )
    return _envelope(_FAULT_ACTION, message_id, content)


def seconds(duration: str | None, default: float) -> float:
    """Read an xs:duration such as PT20.000S."""
    found = _DURATION.fullmatch(duration or "")
    if not duration or found is None:
        return default
    return sum(float(part or 0) * unit for part, unit in zip(found.groups(), (86400, 3600, 60, 1), strict=True))


def _envelope(action: str, answered: str, content: str) -> bytes:
    return (
        f'<s:Envelope xml:lang="en-US" {_DECLARED}><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{NAMESPACES['a']}/role/anonymous</a:To>"
        f"<a:RelatesTo>{escape(answered)}</a:RelatesTo></s:Header><s:Body>{content}</s:Body></s:Envelope>"
    ).encode()
