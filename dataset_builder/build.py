"""`build`: every step of a configuration, one after another; what is done already is not done again.

A step is done when its files are there as it left them, made from the same inputs by the same settings and
the same code. So a build that was stopped anywhere goes on there, and ends with the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from dataset_builder import steps
from dataset_builder.checks import TAKEN_OUT
from dataset_builder.config import BuildConfig, CharacterConfig
from dataset_builder.errors import DatasetError
from dataset_builder.filtering.review import read_review
from dataset_builder.schema import Scene

CODE = Path(__file__).parent


class Build:
    """One run. `say` gets a line for a person after each step."""

    def __init__(self, config: BuildConfig, say: Callable[[str], None]) -> None:
        self.config = config
        self.out = config.out
        self.say = say
        self._state_file = config.out / "build.json"
        self._state: dict[str, Any] = {}
        self._scenes: list[Scene] | None = None

    def run(self) -> None:
        """Raises `DatasetError`, and `InferenceError` where a model is asked."""
        self._folder(self.out)
        self._state = _state(steps.read_json(self._state_file))
        config, out = self.config, self.out
        scenes = out / "scenes.jsonl"
        names = config.extract.names
        sources = [digest_of(path) for path in (*config.extract.paths, *([names] if names else []))]
        outputs = [scenes, steps.beside(scenes, "losses")]
        self._step("extract", [config.extract, sources], outputs, lambda: self._extract(scenes))
        terms = out / "terms.tsv"
        if config.filter is not None:
            # The review file is an input too: what a person decided in it changes what comes out.
            inputs = [config.filter, digest_of(scenes), *map(digest_of, self._lists())]
            self._step("terms", inputs, [], lambda: self._terms(terms), also=terms)
        for character in config.characters:
            self._character(character, scenes, terms)

    def _character(self, who: CharacterConfig, scenes: Path, terms: Path) -> None:
        config, folder, name = self.config, self.out / who.id, who.id
        self._folder(folder)
        names = (who.name, *who.aliases)
        found, clean, chats = (folder / f"{each}.jsonl" for each in ("dialogues", "filtered", "chats"))
        source = digest_of(scenes)
        self._step(
            f"{name}: dialogues",
            [config.dialogues, who, source],
            [found, steps.beside(found, "tally")],
            lambda: self._dialogues(who, found),
        )
        if config.filter is not None:
            key = folder / "key.json"
            self._step(
                f"{name}: filter",
                [config.filter, digest_of(found), digest_of(terms)],
                [clean, key, steps.beside(clean, "filter")],
                lambda: self._redact(found, terms, clean, key),
            )
            found = clean
        reviewed = read_review(terms) if config.filter is not None else []
        if config.rewrite is not None:
            rewrite, before = config.rewrite, found
            self._step(
                f"{name}: rewrite",
                [rewrite, digest_of(found), [asdict(term) for term in reviewed]],
                [chats, chats.with_suffix(".failed.jsonl")],
                lambda: steps.rewrite_step(before, chats, rewrite, reviewed),
            )
            found = chats
        profile = folder / "profile.jsonl"
        self._step(
            f"{name}: profile",
            [config.profile, who, source],
            [profile, profile.with_suffix(".contradictions.jsonl")],
            lambda: f"{len(steps.profile_step(scenes, profile, names, config.profile)):,} answers about her",
        )
        card = who.card or folder / "card.json"
        if who.card is None and self._was_edited(f"{name}: card", card):
            self.say(f"{name}: card: `{card}` was edited and stays as it is")
        elif who.card is None:
            self._step(
                f"{name}: card",
                [who, source, digest_of(profile), [asdict(term) for term in reviewed]],
                [card],
                lambda: self._card(scenes, card, names, profile, reviewed),
            )
        data, last = folder / "data", found
        figures = steps.beside(scenes, "losses"), steps.beside(clean, "filter")
        read = [found, card, *figures, *config.export.replay]
        self._step(
            f"{name}: export",
            [config.export, who.id, *map(digest_of, read)],
            [],
            lambda: self._export(who, last, card, data, figures),
            also=data,
        )

    # --- steps, and a line about each

    def _extract(self, out: Path) -> str:
        self._scenes, losses = steps.extract_step(self.config.extract, out)
        lines = sum(len(scene.lines) for scene in self._scenes)
        skipped = sum(losses.skipped.values())
        return f"{lines:,} lines in {len(self._scenes):,} scenes; {skipped:,} records left out"

    def _terms(self, review: Path) -> str:
        assert self.config.filter is not None
        terms, losses = steps.terms_step(self._read(), self.config.filter, review)
        steps.write_json(steps.beside(review, "losses"), losses.as_dict())
        gone = sum(term.action in TAKEN_OUT for term in terms)
        return f"{gone:,} of {len(terms):,} names and terms go; edit `{review}` and build again to change it"

    def _dialogues(self, who: CharacterConfig, out: Path) -> str:
        count, tally = steps.dialogues_step(self._read(), who.name, who.aliases, self.config.dialogues, out)
        return f"{count:,} dialogues with {tally.answered:,} of {tally.lines:,} lines of `{who.name}`"

    def _redact(self, found: Path, terms: Path, out: Path, key: Path) -> str:
        assert self.config.filter is not None
        done = steps.redact_step(found, read_review(terms), self.config.filter, out, key)
        kept, dropped = done.figures["dialogues kept"], done.figures["dialogues dropped"]
        return f"{kept:,} dialogues kept, {dropped:,} dropped"

    def _card(
        self, scenes: Path, card: Path, names: Sequence[str], profile: Path, terms: Sequence[Any]
    ) -> str:
        steps.card_step(scenes, card, names, profile, terms)
        return f"a draft is in `{card}`"

    def _export(
        self, who: CharacterConfig, found: Path, card: Path, out: Path, figures: tuple[Path, Path]
    ) -> str:
        losses, filtered = map(steps.read_json, figures)
        made = steps.export_step(found, card, out, self.config.export, losses, filtered, who.id)
        rows = ", ".join(f"{count:,} {split}" for split, count in made.rows.items() if count)
        return f"{rows} rows in `{out}`" + "".join(f"\n  note: {warning}" for warning in made.warnings)

    # --- what is done already

    def _step(
        self,
        name: str,
        inputs: list[Any],
        outputs: list[Path],
        run: Callable[[], str],
        *,
        also: Path | None = None,
    ) -> None:
        """`also`: an output that people may change, or a folder; it is looked at as well."""
        files = [*outputs, also] if also is not None else outputs
        made_from = fingerprint([inputs, code_digest()])
        before = self._state.get(name)
        if before and before["from"] == made_from and before["files"] == self._digests(files):
            self.say(f"{name}: nothing new")
            return
        self.say(f"{name}: {run()}")
        self._state[name] = {"from": made_from, "files": self._digests(files)}
        steps.write_json(self._state_file, self._state)

    def _digests(self, files: Sequence[Path]) -> dict[str, str]:
        return {
            path.relative_to(self.out).as_posix() if path.is_relative_to(self.out) else str(path): digest_of(
                path
            )
            for path in files
        }

    def _was_edited(self, name: str, path: Path) -> bool:
        """Whether somebody changed what a step has made."""
        before = self._state.get(name, {}).get("files", {})
        return path.is_file() and bool(before) and before != self._digests([path])

    def _folder(self, path: Path) -> None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"`{path}` cannot be made: {error.strerror}") from error

    def _lists(self) -> list[Path]:
        assert self.config.filter is not None
        return [path for path in (self.config.filter.allow, self.config.filter.deny) if path]

    def _read(self) -> list[Scene]:
        if self._scenes is None:
            self._scenes = steps.read_scenes(self.out / "scenes.jsonl")
        return self._scenes


def _state(found: Any) -> dict[str, Any]:
    """What `build.json` holds, as far as it is what we write."""
    if not isinstance(found, dict):
        return {}
    return {
        name: step
        for name, step in found.items()
        if isinstance(step, dict) and isinstance(step.get("files"), dict) and "from" in step
    }


def digest_of(path: Path) -> str:
    """The sha256 of a file, or of a folder's names and contents; "" where nothing is."""
    if path.is_dir():
        whole = hashlib.sha256()
        for file in sorted(path.rglob("*")):
            if file.is_file():
                whole.update(os.fsencode(file.relative_to(path)) + f"\0{digest_of(file)}\n".encode())
        return whole.hexdigest()
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def fingerprint(value: Any) -> str:
    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)

    return hashlib.sha256(orjson.dumps(value, plain)).hexdigest()


@cache
def code_digest() -> str:
    """Of the code that makes data sets: another version of it makes everything anew."""
    whole = hashlib.sha256()
    prompts = [CODE.parent / "inference" / name for name in ("prompt.py", "characters.py", "cards.py")]
    for file in (*sorted(CODE.rglob("*.py")), *prompts):
        whole.update(file.read_bytes())
    return whole.hexdigest()
