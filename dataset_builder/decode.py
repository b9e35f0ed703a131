"""A script's bytes as text: UTF-8, UTF-16, Shift-JIS, GBK, Big5, and KiriKiri's simple crypt.

Visual novels are older than UTF-8's victory, and files rarely say what they are. A byte-order mark decides;
else strict UTF-8; else the old encoding whose text looks most like a language.
"""

import re
import sys
import zlib
from array import array
from itertools import islice
from operator import itemgetter

from dataset_builder.errors import ScriptError

LIMIT = 256 * 2**20  # bytes of one decoded script: more is no text
_CRYPT = b"\xfe\xfe"
_DOUBTFUL, _FEW = 0.1, 40  # so little like a language, of so many letters, is none of these encodings
_CLEAR = 0.6  # of the letters: no wrong decoding looks so much like a language
_OLD = ("cp932", "euc_jp", "gb18030", "big5")
_KANA = re.compile(r"[\u3041-\u30fe]")
# Frequent in running Chinese, in either script: a wrong decoding hits them by chance only.
_COMMON = re.compile(
    "[的一是不了在人有我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那"
    "得于於着著下自之年过過发發后後作里裡用道行所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動"
    "面起看定天分还還进進好小部其些主样樣理心她本前开開但因只从從想实實日]"
)
_FOREIGN = re.compile("[^\x00-\x7f]+")
_SAMPLE = 2000  # runs of letters that tell an encoding
_ODD = re.compile(r"[\ue000-\uf8ff\uff61-\uff9f\u0080-\u009f\ufffd]")  # private use, half-width kana, C1


def decode(data: bytes, file: str, encoding: str | None = None) -> str:
    """The text, with CRLF and CR turned into LF. `encoding` overrides the guess.

    Raises `ScriptError` for what is no text, or not in `encoding`.
    """
    if len(data) > LIMIT:
        raise ScriptError(file, 0, f"{len(data):,} bytes are too many for a script")
    text = _text(data, file, encoding)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _text(data: bytes, file: str, encoding: str | None) -> str:
    if data[:2] == _CRYPT and len(data) >= 5 and data[3:5] == b"\xff\xfe":
        return _simple_crypt(data, file)
    if encoding:
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ScriptError(
                file, line, f"it is not {encoding}: byte {error.start} cannot be read"
            ) from error
        except (LookupError, UnicodeError, ValueError) as error:
            raise ScriptError(file, 0, f"there is no encoding `{encoding}` for texts") from error
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(name)
            except UnicodeDecodeError as error:
                raise ScriptError(
                    file, 0, f"it says that it is {name} and is not (byte {error.start})"
                ) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        failure = error
    best, score = None, float("-inf")
    for name in _OLD:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if (likely := plausibility(text)) > score:
            best, score = text, likely
        if score > _CLEAR:
            break
    if best is not None and (score > _DOUBTFUL or len("".join(_FOREIGN.findall(best))) < _FEW):
        return best
    line = data.count(b"\n", 0, failure.start) + 1
    raise ScriptError(
        file, line, "it is neither UTF-8 nor Shift-JIS, GBK or Big5 throughout; `--encoding` names what it is"
    )


def plausibility(text: str) -> float:
    """How much a text looks like Japanese or Chinese and not like a wrong decoding, a letter."""
    foreign = "".join(islice(map(itemgetter(0), _FOREIGN.finditer(text)), _SAMPLE))
    kana, common, odd = (len(kind.findall(foreign)) for kind in (_KANA, _COMMON, _ODD))
    return (kana + common - 4 * odd) / (len(foreign) or 1)


def _simple_crypt(data: bytes, file: str) -> str:
    """KiriKiri's "simple crypt" (krkrz, base/TextStream.cpp): FE FE, mode, FF FE, then 16-bit units."""
    mode, body = data[2], data[5:]
    if mode == 2:  # i64 packed, i64 unpacked, zlib
        size = int.from_bytes(body[8:16], "little")
        if size > LIMIT:
            raise ScriptError(file, 0, f"its text claims {size:,} bytes")
        try:
            packed = zlib.decompressobj()
            body = packed.decompress(body[16:], LIMIT)
        except zlib.error as error:
            raise ScriptError(file, 0, f"its packed text is broken: {error}") from error
        if not packed.eof or len(body) != size:
            raise ScriptError(file, 0, "its packed text is cut off")
    elif mode in (0, 1):
        units = array("H", body[: len(body) // 2 * 2])
        if sys.byteorder == "big":
            units.byteswap()
        if mode == 0:
            units = array("H", [c ^ (((c & 0xFE) << 8) ^ 1) & 0xFFFF if c >= 0x20 else c for c in units])
        else:
            units = array("H", [((c & 0xAAAA) >> 1) | ((c & 0x5555) << 1) for c in units])
        if sys.byteorder == "big":
            units.byteswap()
        body = units.tobytes()
    else:
        raise ScriptError(file, 0, f"KiriKiri's crypt of mode {mode} is not known")
    try:
        return body.decode("utf-16-le").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ScriptError(file, 0, "its KiriKiri crypt does not lead to UTF-16") from error
