"""Cmdlets for what is in files: Get-, Set- and Add-Content, Get-FileHash, Select-String."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from reconciler.lab.windows.audit import decoded
from reconciler.lab.windows.contract import Call, Cmdlet, Parameter
from reconciler.lab.windows.failures import AUTOMATION, drive_not_found, file_denied
from reconciler.lab.windows.files import DriveNotFound, Item, NoSuchPath, normal
from reconciler.lab.windows.machine import Machine
from reconciler.lab.windows.provider import LITERAL_PATH, PATH, find_items, may_write_file, paths_of
from reconciler.lab.winrm.records import byte_array, net_object, record

_CODECS = {
    "ascii": "ascii",
    "bigendianunicode": "utf-16-be",
    "default": "cp1252",
    "oem": "cp437",
    "string": "utf-16-le",
    "unicode": "utf-16-le",
    "unknown": "utf-16-le",
    "utf32": "utf-32-le",
    "utf7": "utf-7",
    "utf8": "utf-8",
}
_MARKS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff", "utf-8": b"\xef\xbb\xbf", "utf-32-le": b"\xff\xfe\0\0"}
_ENCODINGS = (
    "Unknown",
    "String",
    "Unicode",
    "Byte",
    "BigEndianUnicode",
    "UTF8",
    "UTF7",
    "UTF32",
    "Ascii",
    "Default",
    "Oem",
    "BigEndianUTF32",
)
_HASHES = ("SHA1", "SHA256", "SHA384", "SHA512", "MD5")


async def get_content(call: Call) -> None:
    """Get-Content: lines, one string with -Raw, or bytes."""
    paths, literal = paths_of(call)
    for path in paths:
        for item in find_items(call, path, literal):
            if item.content is None:
                file_denied(call, item.path, "GetContentReaderUnauthorizedAccessError")
            elif call.arguments.get("Encoding") == "Byte":
                _output_bytes(call, item.content)
            else:
                _output_text(call, _text(item.content, call.arguments.get("Encoding")))


async def set_content(call: Call) -> None:
    """Set-Content: replaces what is in a file."""
    _write(call, append=False)


async def add_content(call: Call) -> None:
    """Add-Content: goes on where a file ends."""
    _write(call, append=True)


async def get_file_hash(call: Call) -> None:
    """Get-FileHash: nothing for a directory."""
    paths, literal = paths_of(call)
    algorithm = call.arguments.get("Algorithm", "SHA256")
    for path in paths:
        for item in _hashed(call, path, literal):
            if item.content is not None:
                digest = hashlib.new(algorithm.lower(), item.content, usedforsecurity=False).hexdigest().upper()
                call.output(
                    record("Microsoft.Powershell.Utility.FileHash", Algorithm=algorithm, Hash=digest, Path=item.path)
                )


async def select_string(call: Call) -> None:
    """Select-String: the lines that match."""
    patterns = _patterns(call)
    piped = [str(line) for line in call.pipeline_input]
    if piped and not call.arguments.get("Path") and not call.arguments.get("LiteralPath"):
        _matches(call, patterns, "InputStream", piped)
        return
    paths, literal = paths_of(call)
    for path in paths:
        for item in find_items(call, path, literal):
            if item.content is not None and _matches(call, patterns, item.path, decoded(item.content).splitlines()):
                return


def _output_bytes(call: Call, content: bytes) -> None:
    count = call.arguments.get("ReadCount", 1)
    if call.arguments.get("Raw") or count == 0:
        call.output(byte_array(content))
    elif count == 1:
        for byte in content:
            call.output(byte)
    else:
        for start in range(0, len(content), count):
            call.output(byte_array(content[start : start + count]))


def _output_text(call: Call, text: str) -> None:
    if call.arguments.get("Raw"):
        call.output(text)
        return
    lines = _lines(text)
    if "TotalCount" in call.arguments:
        lines = lines[: max(call.arguments["TotalCount"], 0)]
    elif "Tail" in call.arguments:
        lines = lines[-call.arguments["Tail"] :] if call.arguments["Tail"] > 0 else []
    count = call.arguments.get("ReadCount", 1)
    if count == 1:
        for line in lines:
            call.output(line)
    elif lines:
        size = count if count > 0 else len(lines)
        for start in range(0, len(lines), size):
            call.output(lines[start : start + size])


def _lines(text: str) -> list[str]:
    lines = re.split(r"\r\n|\n|\r", text)
    return lines[:-1] if lines[-1] == "" else lines


def _text(content: bytes, encoding: str | None) -> str:
    """Return text as a StreamReader gives it: a byte order mark wins over what was asked for."""
    for codec, mark in sorted(_MARKS.items(), key=lambda pair: -len(pair[1])):
        if content.startswith(mark):
            return content[len(mark) :].decode(codec, "replace")
    return content.decode(_CODECS.get((encoding or "Default").lower(), "cp1252"), "replace")


def _write(call: Call, append: bool) -> None:
    machine: Machine = call.machine
    value = call.arguments.get("Value")
    values = list(call.pipeline_input) if value is None and call.pipeline_input else _flat(value)
    paths, _literal = paths_of(call)
    for path in paths:
        try:
            whole = normal(path)
            content = _encoded(call, values, machine.files.item(whole) if append else None)
            if content is None:
                return
            if not may_write_file(call.logon, whole):
                file_denied(call, whole, "GetContentWriterUnauthorizedAccessError")
                continue
            call.verbose(f'Performing the operation "{"Add" if append else "Set"} Content" on target "Path: {whole}".')
            if not call.what_if:
                (machine.files.append if append else machine.files.write)(whole, content)
                if call.arguments.get("PassThru"):
                    call.output(value)
        except DriveNotFound:
            drive_not_found(call, path)
        except NoSuchPath as missing:
            exception, error_id = "System.IO.DirectoryNotFoundException", "GetContentWriterDirectoryNotFoundError"
            text = f"Could not find a part of the path '{missing.path}'."
            call.error(exception, text, error_id, "ObjectNotFound", missing.path)
        except IsADirectoryError:
            file_denied(call, whole, "GetContentWriterUnauthorizedAccessError")


def _flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _encoded(call: Call, values: list[Any], there: Item | None) -> bytes | None:
    encoding = call.arguments.get("Encoding", "Default")
    if encoding == "Byte":
        if any(not isinstance(value, bytes) for value in values):
            text = "Cannot proceed with byte encoding. When using byte encoding the content must be of type byte."
            call.throw(AUTOMATION + "PSArgumentException", text, "GetContentWriterArgumentError", "InvalidArgument")
            return None
        return b"".join(values)
    codec = _CODECS.get(encoding.lower(), "cp1252")
    end = "" if call.arguments.get("NoNewline") else "\r\n"
    text = "".join(("" if value is None else str(value)) + end for value in values)
    mark = _MARKS.get(codec, b"") if there is None or not there.content else b""
    return mark + text.encode(codec, "replace")


def _hashed(call: Call, path: str, literal: bool) -> list[Item]:
    if not literal:
        return find_items(call, path, literal)
    machine: Machine = call.machine
    try:
        item = machine.files.item(path)
    except DriveNotFound:
        item = None
    if item is None:
        text = (
            f'The file \'{path}\' cannot be read: Exception calling "OpenRead" with "1" argument(s): '
            f"\"Could not find file '{path}'.\""
        )
        call.error("Microsoft.PowerShell.Commands.WriteErrorException", text, "FileReadError", "ReadError", path)
    return [] if item is None else [item]


def _patterns(call: Call) -> list[tuple[str, re.Pattern[str]]]:
    flags = 0 if call.arguments.get("CaseSensitive") else re.IGNORECASE
    found = []
    for text in call.arguments["Pattern"]:
        try:
            found.append((text, re.compile(re.escape(text) if call.arguments.get("SimpleMatch") else text, flags)))
        except re.error as error:
            message = f"The string {text} is not a valid regular expression: {error}"
            call.throw("System.ArgumentException", message, "InvalidRegex", "InvalidArgument", text)
    return found


def _matches(call: Call, patterns: list[tuple[str, re.Pattern[str]]], path: str, lines: list[str]) -> bool:
    """Output the matching lines of one file; True where -Quiet has said all there is to say."""
    for number, line in enumerate(lines, 1):
        pattern = next((text for text, expression in patterns if expression.search(line)), None)
        if (pattern is None) != bool(call.arguments.get("NotMatch")):
            continue
        if call.arguments.get("Quiet"):
            call.output(True)
            return True
        call.output(
            net_object(
                ("Microsoft.PowerShell.Commands.MatchInfo",),
                text=f"{path}:{number}:{line}" if path != "InputStream" else line,
                IgnoreCase=not call.arguments.get("CaseSensitive"),
                LineNumber=number,
                Line=line,
                Filename=path.rpartition("\\")[2],
                Path=path,
                Pattern=pattern or call.arguments["Pattern"][0],
            )
        )
        if call.arguments.get("List"):
            break
    return False


_ENCODING = Parameter("Encoding", values=_ENCODINGS)
_WRITING = (
    PATH,
    Parameter("LiteralPath", "strings", aliases=("PSPath",)),
    Parameter("Value", "any", position=1, mandatory=True, from_pipeline=True, secret=True),
    _ENCODING,
    Parameter("Force", "switch"),
    Parameter("NoNewline", "switch"),
    Parameter("PassThru", "switch"),
)

CMDLETS = (
    Cmdlet(
        "Get-Content",
        (
            PATH,
            LITERAL_PATH,
            _ENCODING,
            Parameter("Raw", "switch"),
            Parameter("ReadCount", "int"),
            Parameter("TotalCount", "int", aliases=("First", "Head")),
            Parameter("Tail", "int", aliases=("Last",)),
            Parameter("Force", "switch"),
        ),
        get_content,
        aliases=("cat", "gc", "type"),
    ),
    Cmdlet("Set-Content", _WRITING, set_content, aliases=("sc",)),
    Cmdlet("Add-Content", _WRITING, add_content, aliases=("ac",)),
    Cmdlet(
        "Get-FileHash",
        (PATH, LITERAL_PATH, Parameter("Algorithm", position=1, values=_HASHES)),
        get_file_hash,
        class_name="Get-FileHash",
    ),
    Cmdlet(
        "Select-String",
        (
            Parameter("Pattern", "strings", position=0, mandatory=True),
            Parameter("Path", "strings", position=1),
            Parameter("LiteralPath", "strings", aliases=("PSPath",)),
            Parameter("InputObject", "any", from_pipeline=True),
            Parameter("SimpleMatch", "switch"),
            Parameter("CaseSensitive", "switch"),
            Parameter("NotMatch", "switch"),
            Parameter("Quiet", "switch"),
            Parameter("List", "switch"),
            Parameter("AllMatches", "switch"),
            Parameter("Encoding", values=_ENCODINGS),
        ),
        select_string,
        aliases=("sls",),
    ),
)
