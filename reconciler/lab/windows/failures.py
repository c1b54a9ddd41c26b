"""The errors that several simulated cmdlets share, as PowerShell 5.1 words them."""

from __future__ import annotations

from reconciler.lab.windows.contract import Call

AUTOMATION = "System.Management.Automation."
CIM_EXCEPTION = "Microsoft.Management.Infrastructure.CimException"

WIN32_TEXTS = {
    2: "The system cannot find the file specified. ",
    5: "Access is denied. ",
    183: "Cannot create a file when that file already exists. ",
    1069: "The service did not start due to a logon failure. ",
    1326: "The user name or password is incorrect. ",
    1332: "No mapping between account names and security IDs was done. ",
    1385: "Logon failure: the user has not been granted the requested logon type at this computer. ",
}
_CATEGORIES = {2: "ObjectNotFound", 5: "PermissionDenied", 183: "ResourceExists", 1326: "AuthenticationError"}


def path_not_found(call: Call, path: str) -> None:
    """Write the error for a path that leads nowhere."""
    call.error(
        AUTOMATION + "ItemNotFoundException",
        f"Cannot find path '{path}' because it does not exist.",
        "PathNotFound",
        "ObjectNotFound",
        path,
    )


def drive_not_found(call: Call, path: str) -> None:
    """Write the error for a drive that this machine does not have."""
    drive = path.partition(":")[0]
    call.error(
        AUTOMATION + "DriveNotFoundException",
        f"Cannot find drive. A drive with the name '{drive}' does not exist.",
        "DriveNotFound",
        "ObjectNotFound",
        drive,
    )


def property_not_found(call: Call, name: str, path: str) -> None:
    """Write the error for a registry value that is absent."""
    call.error(
        AUTOMATION + "PSArgumentException",
        f"Property {name} does not exist at path {path}.",
        AUTOMATION + "PSArgumentException",
        "InvalidArgument",
        name,
    )


def registry_denied(call: Call, path: str) -> None:
    """Write the error for a key that the caller may not use so."""
    exception = "System.Security.SecurityException"
    call.error(exception, "Requested registry access is not allowed.", exception, "PermissionDenied", path)


def file_denied(call: Call, path: str, error_id: str) -> None:
    """Write the error for a file or directory that the caller may not change."""
    call.error(
        "System.UnauthorizedAccessException",
        f"Access to the path '{path}' is denied.",
        error_id,
        "PermissionDenied",
        path,
    )


def cim_failure(call: Call, code: int, target: object = None, text: str = "") -> None:
    """Write the error of a CIM cmdlet; ``code`` is a Win32 code or an HRESULT."""
    hresult = code if code > 0xFFFF else 0x80070000 | code
    short = hresult & 0xFFFF
    call.error(
        CIM_EXCEPTION,
        text or WIN32_TEXTS.get(short, f"Error 0x{hresult:08x} "),
        f"HRESULT 0x{hresult:08x}",
        _CATEGORIES.get(short, "NotSpecified") if not text else "NotSpecified",
        target,
    )


def missing_parameter(call: Call, name: str) -> None:
    """End the statement because a parameter that this use needs was not given."""
    call.throw(
        AUTOMATION + "ParameterBindingException",
        f"Cannot process command because of one or more missing mandatory parameters: {name}.",
        "MissingMandatoryParameter",
        "InvalidArgument",
    )


def ambiguous_parameters(call: Call) -> None:
    """End the statement because the parameters given belong to no one parameter set."""
    call.throw(
        AUTOMATION + "ParameterBindingException",
        "Parameter set cannot be resolved using the specified named parameters.",
        "AmbiguousParameterSet",
        "InvalidArgument",
    )
