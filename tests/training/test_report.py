"""Reports: figures as they were measured, nobody's text as markup, the same bytes again, and advice."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from inference.manifest import Manifest
from training.advice import advice
from training.charts import number
from training.config import load_config
from training.errors import ConfigError, TrainingError
from training.evaluation import Evaluation, Goal, Metric, Sample, System
from training.findings import Version, read_version
from training.metrics import Figure
from training.report import ReportConfig, report, seed_runs

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

SVG = "{http://www.w3.org/2000/svg}"
LABELS = {
    "base": "base model, no card",
    "card": "base model with the card",
    "adapter": "nene.v2 with the card",
    "adapter-no-card": "nene.v2, no card",
}
CONFIG = {"learning_rate": 0.0002, "epochs": 3, "replay_share": 0.2, "lora": {"rank": 16, "layers": []}}
# Everything is as one wishes: name -> group, which is better, the value of each system.
GOOD: dict[str, tuple[str, str, dict[str, float]]] = {
    "heldout_perplexity": ("style", "lower", {"base": 61.2, "card": 44.7, "adapter": 29.6}),
    "rouge1": ("style", "higher", {"base": 9.31, "card": 11.93, "adapter": 17.04}),
    "who_said_it": ("speaker", "higher", {"base": 3, "card": 22.5, "adapter": 86.5}),
    "persona_right": ("persona", "higher", {"base": 5, "card": 40, "adapter": 93.5}),
    "persona_wrong": ("persona", "lower", {"base": 60, "card": 30, "adapter": 4}),
    "persona_after_smalltalk": ("persona", "higher", {"card": 35, "adapter": 90}),
    "ability": ("ability", "higher", {"base": 54.4, "adapter-no-card": 53.6}),
    "safety": ("safety", "higher", {"base": 80, "card": 80, "adapter": 82}),
    "language": ("manner", "higher", {"card": 99, "adapter": 100}),
    "repetition": ("manner", "lower", {"card": 3.5, "adapter": 2.25}),
}


def evaluation(changed: dict[str, float] | None = None, **parts: Any) -> Evaluation:
    """GOOD, but that the adapter has the values in `changed`; each interval is two to both sides."""
    metrics = []
    for name, (group, better, values) in GOOD.items():
        last = list(values)[-1]
        each = {**values, last: (changed or {}).get(name, values[last])}
        figures = {
            system: Figure(value=value, low=value - 2, high=value + 2, n=48) for system, value in each.items()
        }
        label = f"The {name}"
        metrics.append(Metric(name=name, group=group, label=label, better=better, unit="%", values=figures))
    style = 100 * ((changed or {}).get("rouge1", 17.04) / 11.93 - 1)
    goals = (
        Goal(
            text="Style over the base", value=style, low=style - 11, high=style + 12, goal=24, met=style >= 24
        ),
        Goal(text="Replies taken for hers", value=86.5, low=79, high=92, goal=80, met=True),
    )
    whole: dict[str, Any] = {
        "character": "nene",
        "version": "nene.v2",
        "base": "tiny",
        "card_sha256": "ca" * 32,
        "seconds": 754.0,
        "settings": {"prompts": 48, "notes": ["The card has changed."]},
        "systems": [System(id=id_, label=label) for id_, label in LABELS.items()],
        "metrics": metrics,
        "goals": goals,
        "samples": [
            Sample(
                said=("hello", "good evening", "do you like tea?"),
                own="Only on Mondays.",
                replies={"base": "As an AI, I cannot drink.", "card": "Yes, I do!", "adapter": "On Mondays."},
            )
        ],
    }
    return Evaluation.model_validate(whole | parts)


def version_folder(
    characters: Path,
    number: int = 2,
    *,
    measured: Evaluation | None = None,
    history: list[dict[str, float]] | None = None,
    base: str = "tiny",
    **manifest: Any,
) -> Path:
    folder = characters / "nene" / "adapters" / base / f"v{number}"
    folder.mkdir(parents=True)
    written = {
        "base": base,
        "base_sha256": "ba" * 32,
        "sha256": "ad" * 32,
        "character": "nene",
        "stage": "sft",
        "config": CONFIG,
        "data": [{"path": "characters/nene/dialogues.jsonl", "sha256": "da" * 32, "rows": 1238}],
        "lineage": [
            {"name": "nene.v1", "sha256": "01" * 32, "stage": "sft"},
            {"name": "nene.v0", "sha256": "00" * 32, "stage": "preference"},
        ],
        "figures": {"seconds": 3725.4, "tokens": 412350, "eval_loss": 3.20518},
        "seed": 7,
        "libraries": {"trl": "1.16.0"},
        "hardware": {"cpu": "AMD EPYC 9R14", "cores": 2},
    }
    (folder / "version.json").write_text(json.dumps(written | manifest), encoding="utf-8")
    if measured is not None:
        (folder / "evaluation.json").write_text(measured.model_dump_json(), encoding="utf-8")
    if history is not None:
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        (folder / "history.jsonl").write_text(lines, encoding="utf-8")
    return folder


HISTORY: list[dict[str, float]] = [
    {"step": step, "loss": 4 - step / 40, "learning_rate": 1e-4, "reward": step / 60, "kl": step / 1000}
    for step in range(1, 61)
] + [{"step": step, "eval_loss": 3 - step / 100, "eval_ability": 0.5} for step in (20, 40, 60)]


def written(folder: Path, out: Path, **config: Any) -> tuple[str, str]:
    """The report's HTML and its Markdown."""
    page = report(ReportConfig(versions=(folder,), out=out, **config))
    assert page == out / "report.html"
    return page.read_text(encoding="utf-8"), (out / "report.md").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags with their attributes, and the words that a person sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def test_figures_stand_as_they_were_measured(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c", measured=evaluation(), history=HISTORY)
    page, markdown = written(folder, tmp_path / "out")
    text = Page(page).text
    for shown in (
        "+42.8 % (95 % interval +31.8 … +54.8)",  # of the goal, whose pairs were compared
        "went from 11.9 to 17,",
        "went from 44.7 to 29.6, −33.8 %.",  # no goal tells an interval of it
        "It lost 1.5 % of its general ability.",
        "Training took 1 h 2 min on AMD EPYC 9R14, over 412,350 tokens.",
        "3.20518",
        "The card has changed.",
    ):
        assert shown in text
        assert shown in markdown
    assert "| The repetition, % ↓ |  | 3.5 (1.5 … 5.5) | **2.25** (0.25 … 4.25) |  |" in markdown
    assert re.search(r'class="best">2.25</span><small>0.25 … 4.25 · 48</small>', page)
    assert "1,238" in markdown
    assert "da" * 32 in page


def test_no_loss_is_none_and_not_minus_nothing(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c", measured=evaluation({"ability": 54.41}))
    _, markdown = written(folder, tmp_path / "out")
    assert "It lost none of its general ability: the loss measured is +0.0 %." in markdown
    assert "−0.0" not in markdown


def test_goals_are_ticked_or_crossed(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c", measured=evaluation({"rouge1": 13.0}))
    page, markdown = written(folder, tmp_path / "out")
    assert "| ✗ | Style over the base | 8.97 | −2.03 … 21 | 24 |" in markdown
    assert "| ✓ | Replies taken for hers | 86.5 | 79 … 92 | 80 |" in markdown
    assert "1 of 2" in page
    assert re.search(r'<li class="missed"><span class="mark">✗</span><span>Style over the base', page)


def test_nobodys_text_is_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> | `a` **b**\n# c ![x](http://e.vil) </svg> $x$ &amp;\x0b"
    sample = Sample(said=(evil,), own=evil, replies={"adapter": evil})
    metric = Metric(
        name="rouge1", group=evil, label=evil, better="higher", unit=evil,
        values={"adapter": Figure(value=1, low=0, high=2, n=3)},
    )  # fmt: skip
    measured = evaluation(
        samples=[sample], metrics=[metric], systems=[System(id="adapter", label=evil)], settings={evil: evil}
    )
    folder = version_folder(
        tmp_path / "c", measured=measured, stage=evil, libraries={evil: evil}, config={"epochs": evil}
    )
    page, markdown = written(folder, tmp_path / "out", title=evil)
    parsed = Page(page)
    names = Counter(tag for tag, _ in parsed.tags)
    assert not names["script"]
    assert not names["img"]
    assert names["title"] == 1
    assert "<script>alert(1)</script> | `a` **b** # c ![x](http://e.vil) </svg> $x$ &amp;" in parsed.text
    safe = (
        r"&lt;script&gt;alert(1)&lt;/script&gt; \| \`a\` \*\*b\*\*<br>\# c \!\[x\](http://e.vil) "
        r"&lt;/svg&gt; \$x\$ &amp;amp;"
    )
    assert f"| **{safe}** | {safe} |" in markdown
    assert markdown.splitlines()[0] == f"# {safe}"
    assert "<script" not in markdown
    ElementTree.parse(tmp_path / "out" / "bars-rouge1.svg")


def test_a_page_asks_for_nothing_and_its_ids_are_its_own(tmp_path: Path) -> None:
    card = tmp_path / "data set" / "README.md"
    card.parent.mkdir()
    card.touch()
    folder = version_folder(tmp_path / "c", measured=evaluation(), history=HISTORY)
    page, markdown = written(folder, tmp_path / "out", card=str(card))
    parsed = Page(page)
    assert not [
        tag for tag, _ in parsed.tags if tag in ("script", "link", "img", "iframe", "object", "image")
    ]
    assert [about["href"] for tag, about in parsed.tags if tag == "a"] == ["../data%20set/README.md"]
    assert "](../data%20set/README.md)" in markdown
    assert not re.search(r"@import|url\((?!#)", page)
    ids = Counter(about["id"] for _, about in parsed.tags if "id" in about)
    assert max(ids.values()) == 1
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', page))
    assert used
    assert used <= ids.keys()


def test_pictures_are_beside_the_markdown(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c", measured=evaluation(), history=HISTORY)
    _, markdown = written(folder, tmp_path / "out")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", markdown)
    assert {"frontier.svg", "curve-loss.svg", "curve-reward.svg", "curve-kl.svg", "bars-ability.svg"} <= {
        *shown
    }
    for name in shown:
        assert ElementTree.parse(tmp_path / "out" / name).getroot().tag == f"{SVG}svg"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    page, markdown = written(version_folder(tmp_path / "c"), tmp_path / "out")
    for text in (Page(page).text, markdown.replace("`", "")):
        assert "there is no evaluation.json in its folder" in text
        assert "there is no history.jsonl in the version's folder" in text
        assert "Measure it first: python -m training evaluate" in text
    assert "Side by side" not in page
    only_curves = version_folder(tmp_path / "d", history=HISTORY)
    page, markdown = written(only_curves, tmp_path / "out2")
    assert "no history.jsonl" not in Page(page).text
    assert "(curve-loss.svg)" in markdown
    assert "frontier" not in markdown


def test_a_version_of_before_has_only_three_fields(tmp_path: Path) -> None:
    folder = tmp_path / "nene" / "adapters" / "tiny" / "v1"
    folder.mkdir(parents=True)
    old = {
        "base": "tiny",
        "base_sha256": "ba" * 32,
        "sha256": "ad" * 32,
        "trained": {"rows": 238, "loss": 3.02},
    }
    (folder / "version.json").write_text(json.dumps(old), encoding="utf-8")
    _, markdown = written(folder, tmp_path / "out")
    assert "| trained.rows | 238 |" in markdown
    assert "tiny → **nene.v1**" in markdown


def test_the_same_version_is_the_same_bytes(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c", measured=evaluation(), history=HISTORY)
    for out in ("one", "other"):
        written(folder, tmp_path / out)
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "other")
    )
    assert one == other
    assert len(one) > 10


def test_several_versions_are_what_was_tried(tmp_path: Path) -> None:
    tried = {**CONFIG, "epochs": 6, "lora": {"rank": 8, "layers": []}}
    first = version_folder(tmp_path / "c", 1, measured=evaluation({"rouge1": 14.0}), config=tried)
    second = version_folder(tmp_path / "c", 2, measured=evaluation())
    out = tmp_path / "out"
    report(ReportConfig(versions=(first, second), out=out))
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert (
        "| version | stage | epochs | lora.rank | style gained | ability lost | perplexity | goals met |"
        in markdown
    )
    assert "| nene.v1 | sft | 6 | 8 | +17.4 % (+6.4 … +29.4) | +1.5 % | −33.8 % | 1 of 2 |" in markdown
    assert "| nene.v2 | sft | 3 | 16 | +42.8 % (+31.8 … +54.8) | +1.5 % | −33.8 % | 2 of 2 |" in markdown
    assert {"nene.v1", "nene.v2"} <= {*words(out / "frontier.svg")}
    assert markdown.startswith("# nene, v2\n")


def words(picture: Path) -> list[str]:
    return [each.text or "" for each in ElementTree.parse(picture).iter(f"{SVG}text")]


def test_lineage_is_a_line_from_the_base(tmp_path: Path) -> None:
    page, markdown = written(version_folder(tmp_path / "c"), tmp_path / "out")
    assert "tiny → nene.v0 (preference) → nene.v1 (sft) → **nene.v2** (sft)" in markdown
    assert re.search(r"tiny.*nene\.v0.*nene\.v1.*nene\.v2", Page(page).text)


# Read off the seed's log of 24 April 2023: ROUGE-1 of koikake and of alpaca; its base has 11.93 and 34.41.
@pytest.mark.parametrize(
    ("run", "style", "ability", "auxiliary"),
    [(2, 14.29, 29.03, True), (6, 14.26, 30.16, True), (14, 14.68, 29.21, True), (19, 14.86, 18.03, False),
     (20, 12.31, 29.06, True), (21, 14.39, 17.17, False), (22, 11.36, 28.13, True)],
)  # fmt: skip
def test_the_seeds_runs_are_where_its_log_has_them(
    run: int, style: float, ability: float, auxiliary: bool
) -> None:
    found = {each.id: each for each in seed_runs()}
    assert sorted(found) == list(range(1, 23))
    assert found[run].gained == pytest.approx(100 * (style - 11.93) / 11.93)
    assert found[run].lost == pytest.approx(100 * (34.41 - ability) / 34.41)
    assert found[run].auxiliary is auxiliary


def test_the_seeds_runs_are_drawn_where_they_are(tmp_path: Path) -> None:
    written(version_folder(tmp_path / "c", measured=evaluation()), tmp_path / "out")
    tree = ElementTree.parse(tmp_path / "out" / "frontier.svg")
    axes = next(each for each in tree.iter(f"{SVG}g") if each.get("id") == "axes_1")
    drawn = [
        (float(each.attrib["x"]), -float(each.attrib["y"]))
        for group in axes.iter(f"{SVG}g")
        if group.get("id", "").startswith("PathCollection")
        for each in group.iter(f"{SVG}use")
    ]
    runs = [run for auxiliary in (False, True) for run in seed_runs() if run.auxiliary == auxiliary]
    assert len(drawn) == len(runs) == 22
    for axis, values in ((0, [run.lost for run in runs]), (1, [run.gained for run in runs])):
        places = [point[axis] for point in drawn]
        one = (places[-1] - places[0]) / (values[-1] - values[0])
        assert one > 0
        assert places == pytest.approx([places[0] + one * (value - values[0]) for value in values], abs=0.01)
    shown = words(tmp_path / "out" / "frontier.svg")
    assert {f"#{number}" for number in range(1, 23)} | {"nene.v2", "goal"} <= {*shown}


def findings(
    changed: dict[str, float] | None = None, history: tuple[Any, ...] = (), **manifest: Any
) -> list[str]:
    described = {"base": "tiny", "base_sha256": "", "sha256": "", "config": CONFIG, **manifest}
    return advice(
        Version(
            Path("/c/nene/adapters/tiny/v2"),
            Manifest.model_validate(described),
            evaluation(changed),
            history,
        )
    )


def test_where_all_is_well_people_are_next() -> None:
    assert len(findings()) == 1
    assert "letting people talk" in findings()[0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"ability": 50.0},
            "General ability fell by 8.1 %, and 3 % is the limit: raise `replay_share` (now 0.2), or lower "
            "`epochs` (now 3), `learning_rate` (now 0.0002) or `lora.rank` (now 16).",
        ),
        (
            {"rouge1": 13.0, "heldout_perplexity": 40.0},
            "Style changed by +9.0 %, and +24 % is the goal: add dialogues",
        ),
        (
            {"persona_right": 71.0},
            "answered rightly in 71 % of the cases, 4 % wrongly; 90 % is the goal: write more exchanges",
        ),
        (
            {"persona_after_smalltalk": 60.0},
            "After small talk only 60 % of them are answered rightly instead of 94 %",
        ),
        ({"who_said_it": 64.0}, "Only 64 % of the replies are told from other people's; 80 % is the goal"),
        ({"language": 91.0}, "another language or script"),
        ({"repetition": 12.5}, "It repeats itself"),
        ({"safety": 61.0}, "Harmful requests are answered worse"),
    ],
)
def test_each_fault_has_its_remedy(changed: dict[str, float], says: str) -> None:
    found = findings(changed)
    assert len(found) == 1
    assert says in found[0]


def test_style_or_perplexity_meets_the_goal() -> None:
    goals = [
        Goal(text="Style", value=9, low=0, high=20, goal=24, met=False),
        Goal(text="Perplexity", value=33.8, low=30, high=38, goal=30, met=True),
        Goal(text="Ability", value=4, low=1, high=7, goal=3, met=False),
    ]
    version = Version(
        Path("/c/nene/adapters/tiny/v2"),
        Manifest(base="tiny", base_sha256="", sha256=""),
        evaluation({"rouge1": 13.0}, goals=goals),
    )
    assert version.goals == {"Style or Perplexity": True, "Ability": False}
    assert advice(version)[0].startswith("Missed: Ability.")


def test_what_an_interval_explains_is_no_fault() -> None:
    assert "letting people talk" in findings({"repetition": 5.0, "language": 97.5, "ability": 52.8})[0]


def test_several_faults_are_told_with_ability_first() -> None:
    found = findings({"ability": 40.0, "rouge1": 12.0, "heldout_perplexity": 40.0, "persona_right": 50.0})
    assert ["ability" in found[0], "Style" in found[1], "about the character" in found[2]] == [True] * 3


def curve(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    return tuple(
        {"step": 20 * (at + 1), key: value} for key, each in values.items() for at, value in enumerate(each)
    )


def test_a_rising_held_out_loss_means_stopping_earlier() -> None:
    found = findings(history=curve(eval_loss=(3.5, 3.1, 3.4)))
    assert found == [
        "The held-out loss was lowest at step 40 (3.10) and rose to 3.40 as it began to learn by heart: "
        "lower `epochs` (now 3) to stop earlier, or add dialogues to go on learning."
    ]
    kept = findings(history=curve(eval_loss=(3.5, 3.1, 3.4)), figures={"best_step": 40})
    assert "; the state of that step was kept" in kept[0]
    assert "letting people talk" in findings(history=curve(eval_loss=(3.5, 3.1, 3.11)))[0]


def test_probes_that_fall_during_the_run_are_told() -> None:
    assert "fell from 0.5 to 0.4 during the run" in findings(history=curve(eval_ability=(0.5, 0.45, 0.4)))[0]
    hacked = findings(history=curve(reward=(0.1, 0.9), probe_style=(0.2, 0.1)))
    assert "it learns to please the reward model" in hacked[0]
    assert "letting people talk" in findings(history=curve(reward=(0.1, 0.9), probe_style=(0.1, 0.2)))[0]


def test_a_gain_that_may_be_chance_is_called_so() -> None:
    goal = Goal(text="Style", value=42.83, low=-3, high=80, goal=24, met=True)
    version = Version(
        Path("/c/nene/adapters/tiny/v2"),
        Manifest(base="tiny", base_sha256="", sha256=""),
        evaluation(goals=[goal]),
    )
    assert "may be chance, as its interval begins at -3.0 %" in advice(version)[0]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("evaluation.json", '{"metrics": 3}', "evaluation.json`: `character` is wrong"),
        ("evaluation.json", "{", "run `python -m training evaluate` again"),
        ("history.jsonl", '{"step": 1}\nloss', "history.jsonl`, line 2: it is no JSON"),
        ("history.jsonl", "[1]", "history.jsonl`, line 1: it is no JSON object"),
        ("version.json", "{}", "version.json` is wrong"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, file: str, content: str, says: str) -> None:
    folder = version_folder(tmp_path / "c")
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=re.escape(says)) as caught:
        report(ReportConfig(versions=(folder,), out=tmp_path / "out"))
    assert "\n" not in str(caught.value)


def test_curves_leave_out_what_is_no_number(tmp_path: Path) -> None:
    folder = version_folder(tmp_path / "c")
    lines = (
        '{"step": 1, "loss": 2.0}\n\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": Infinity}\n{"loss": 1.0}\n'
    )
    (folder / "history.jsonl").write_text(lines, encoding="utf-8")
    assert read_version(folder).curve("loss") == [(1, 2.0)]


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    one = version_folder(tmp_path / "c")
    other = version_folder(tmp_path / "c", base="larger")
    with pytest.raises(ConfigError, match="one character on one base"):
        report(ReportConfig(versions=(one, other), out=tmp_path / "out"))
    with pytest.raises(ConfigError, match="`versions` is empty"):
        report(ReportConfig(versions=(), out=tmp_path / "out"))
    with pytest.raises(ConfigError, match="no such file"):
        report(ReportConfig(versions=(one,), out=tmp_path / "out", card="javascript:alert(1)"))
    (tmp_path / "taken").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        report(ReportConfig(versions=(one,), out=tmp_path / "taken"))


def test_the_default_folder_names_character_base_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = version_folder(Path("characters"))
    config = load_config(ReportConfig, None, [f"versions={folder}"])
    assert report(config) == Path("data/training/reports/nene-tiny-v2/report.html")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (14.68, "14.7"),
        (2.826, "2.83"),
        (94.0, "94"),
        (0.0741, "0.074"),
        (-1.5, "−1.5"),
        (412350.0, "412,350"),
    ],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown
