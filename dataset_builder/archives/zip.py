"""ZIP archives, as translators pass their folders on."""

import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO

from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.work import FILE_LIMIT, ScriptFile

NAME = "zip"
RATIO = 200  # a member that grows more than this when unpacked is a bomb
MEMBERS = 100_000
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def sniff(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def members(file: ScriptFile) -> Iterator[ScriptFile]:
    """Its files, each unpacked when it is read; an XLSX is no archive here: its reader wants it whole."""
    try:
        archive = zipfile.ZipFile(BytesIO(file.read()))
    except (*_BROKEN, OSError, RuntimeError, ValueError) as error:
        raise ScriptError(file.name, 0, f"a broken ZIP: {error}") from error
    found = [each for each in archive.infolist() if not each.is_dir()]
    if len(found) > MEMBERS:
        raise ScriptError(file.name, 0, f"it holds {len(found):,} files, which is too many")
    if found and all(each.flag_bits & 1 for each in found):
        raise ProtectedScript(file.name, "a ZIP with a password")
    for info in sorted(found, key=lambda each: each.filename):
        name = f"{file.name}/{safe_name(info.filename)}"
        yield ScriptFile(
            name, info.file_size, partial(_read, archive, info, name), partial(_peek, archive, info)
        )


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.flag_bits & 1:
        raise ProtectedScript(name, "a ZIP with a password")
    if info.file_size > FILE_LIMIT or info.file_size > RATIO * max(info.compress_size, 1024):
        raise ScriptError(name, 0, f"it claims to unpack to {info.file_size:,} bytes")
    try:
        return archive.read(info)
    except (*_BROKEN, OSError, RuntimeError, ValueError) as error:
        raise ScriptError(name, 0, f"a broken ZIP: {error}") from error


def _peek(archive: zipfile.ZipFile, info: zipfile.ZipInfo, count: int) -> bytes:
    """The first bytes, none where they cannot be had: reading says why."""
    try:
        with archive.open(info) as opened:
            return opened.read(count)
    except (*_BROKEN, OSError, RuntimeError, ValueError):
        return b""


def safe_name(name: str) -> str:
    """A member's name without what leads outside."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
