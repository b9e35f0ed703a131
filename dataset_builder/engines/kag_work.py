"""A work of `.ks` files, gone through twice: for what the files tell about each other, and for scenes."""

import re
from collections.abc import Iterator, Sequence

from dataset_builder.decode import decode
from dataset_builder.engines import ReadOptions, read_each
from dataset_builder.engines.kag_macros import learn
from dataset_builder.engines.kag_script import Script, path_ends
from dataset_builder.engines.kag_speakers import compile_rules
from dataset_builder.engines.kag_story import Story
from dataset_builder.engines.kag_tags import Dialect
from dataset_builder.errors import ScriptError
from dataset_builder.report import Losses
from dataset_builder.schema import Scene
from dataset_builder.work import ScriptFile

# What only a scenario has: there are other programs with files named `.ks`.
_STATEMENT = re.compile(
    r"^[ \t]*(?:\*[^\s|/*]|@[a-z_]+[ \t\n=]|#\S|;)|\[[a-z_]\w*(?:\s[^\]\n]*)?\]|^[ \t　]*【",
    re.MULTILINE | re.IGNORECASE,
)


# What TyranoScript does not have: names in brackets, TJS, tags of KAG and of studios that use it.
_KAG = re.compile(
    r"^[ \t　]*【[^】\n]{1,40}】"
    r"|[\[@](?:hch|hact|backlay|wveh|wvl|pcms|hitret|nm |ns\]|名前 |cn |talk |sel01|addselect|exlink|seladd"
    r"|rclick|loadplugin|startanchor|current )"
    r"|\bkag\.|System\.|Scripts\.|%\[|\bvoid\b",
    re.MULTILINE | re.IGNORECASE,
)
# What KAG3 does not have: `#name`, tags of TyranoScript and TyranoBuilder, JavaScript.
_TYRANO = re.compile(
    r"^[ \t]*#"
    r"|[\[@](?:chara_|glink|tb_|_tb_|showmenubutton|hidemenubutton|loadjs|loadcss|plugin|clearfix|voconfig"
    r"|start_keyconfig|stop_keyconfig|layermode)"
    r"|TYRANO|\bTG\.|===|\$\(|\bconst |\blet ",
    re.MULTILINE,
)


def likely(name: str, head: bytes) -> tuple[float, float]:
    """How sure it is that a file is KAG3's, and how sure that it is TyranoScript's.

    Shift-JIS, UTF-16 and KiriKiri's crypt are KAG3's, since TyranoScript reads UTF-8 alone.
    """
    if not name.lower().endswith(".ks"):
        return 0.0, 0.0
    if head[:2] in (b"\xfe\xfe", b"\xff\xfe", b"\xfe\xff"):
        return 0.9, 0.0
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return (0.9 if _STATEMENT.search(head.decode("cp932", "replace")) else 0.0), 0.0
        text = head[: error.start].decode()  # the head cuts a letter in two
    if not _STATEMENT.search(text):
        return 0.0, 0.0
    lead = len(_KAG.findall(text)) - len(_TYRANO.findall(text))
    sure = min(0.95, 0.75 + 0.05 * abs(lead)) if lead else 0.6
    return (sure, 0.4) if lead > 0 else (0.4, sure)


def read_work(
    files: Sequence[ScriptFile], dialect: Dialect, options: ReadOptions, losses: Losses
) -> Iterator[Scene]:
    """The scenes of all files, in their order."""
    rules = compile_rules(options.speakers, options.names)
    texts: dict[str, str] = {}
    for file in files:
        try:
            texts[file.name] = decode(file.read(), file.name, options.encoding)
        except ScriptError:
            continue  # raised again, and counted, when the file's turn comes
    learned = learn(texts, dialect, rules)
    paths = path_ends(texts)

    def scenes(file: ScriptFile) -> Iterator[Scene]:
        text = texts.pop(file.name, None)
        if text is None:
            text = decode(file.read(), file.name, options.encoding)
        script = Script(file.name, text, dialect, learned, rules, paths)
        yield from Story(script, options, losses).scenes()

    yield from read_each(files, options, losses, scenes)
