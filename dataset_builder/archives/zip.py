"""ZIP archives, as translators pass their folders on."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from dataset_builder.errors import ProtectedScript, ScriptError
from dataset_builder.work import FILE_LIMIT, ScriptFile, memory_file

NAME = "zip"
RATIO = 200  # a member that grows more than this when unpacked is a bomb
MEMBERS = 100_000
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def sniff(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def members(file: ScriptFile) -> Iterator[ScriptFile]:
    """Its files; an XLSX is no archive here, since its reader wants it whole."""
    try:
        with zipfile.ZipFile(BytesIO(file.read())) as archive:
            found = [each for each in archive.infolist() if not each.is_dir()]
            if len(found) > MEMBERS:
                raise ScriptError(file.name, 0, f"it holds {len(found):,} files, which is too many")
            for info in sorted(found, key=lambda each: each.filename):
                if info.flag_bits & 1:
                    raise ProtectedScript(file.name, "a ZIP with a password")
                if info.file_size > FILE_LIMIT or info.file_size > RATIO * max(info.compress_size, 1024):
                    raise ScriptError(file.name, 0, f"`{info.filename}` claims {info.file_size:,} bytes")
                yield memory_file(f"{file.name}/{safe_name(info.filename)}", archive.read(info))
    except (*_BROKEN, OSError, RuntimeError, ValueError) as error:
        raise ScriptError(file.name, 0, f"a broken ZIP: {error}") from error


def safe_name(name: str) -> str:
    """A member's name without what leads outside."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
