"""What is known of a character, and from which lines: with nobody to ask, and with a model on a socket."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.asking.cost import Budget
from dataset_builder.asking.llm import Asking
from dataset_builder.errors import BudgetSpent, DatasetError
from dataset_builder.profile import (
    ProfileOptions,
    ProfileRow,
    estimate_profile,
    profile,
    rows_of_lines,
)
from dataset_builder.profiling import profile_prompt
from dataset_builder.profiling.evidence import Dossier, Evidence, gather, sentences
from dataset_builder.profiling.facts import find_facts, number
from dataset_builder.profiling.interview import Reply, key_words, questions, unproven
from dataset_builder.profiling.manner import find_manner, log_likelihood
from dataset_builder.profiling.retrieval import Index
from dataset_builder.profiling.topics import TOPICS
from dataset_builder.report import Losses
from dataset_builder.rows import write_rows
from dataset_builder.schema import Line, Scene, Source
from inference.client import Endpoint
from tests.dataset_builder.works import NAMES, WORKS, scene
from tests.fakes.model import FakeModel

LANGUAGES = ("ja", "zh", "en")


def rows_by_topic(language: str) -> dict[str, ProfileRow]:
    rows, _ = rows_of_lines(gather(WORKS[language], NAMES[language]))
    return {row.topic: row for row in rows}


# --- from lines alone


@pytest.mark.parametrize(
    ("language", "values"),
    [
        (
            "ja",
            {
                "name": ("七瀬澪",),
                "age": ("十七",),
                "birthday": ("七月十日",),
                "hobby": ("天体観測",),
                "likes": ("甘いもの",),
                "dislikes": ("辛いもの",),
                "relations": ("七瀬灯の姉", "妹"),
                "companions": ("相馬翔太", "七瀬灯"),
                "pronoun": ("わたし",),
            },
        ),
        (
            "zh",
            {
                "name": ("顾小雨",),
                "age": ("十八",),
                "birthday": ("三月九日",),
                "hobby": ("修旧伞",),
                "likes": ("下雨天",),
                "dislikes": ("打雷",),
                "relations": ("林诚的表妹", "表哥林诚"),
                "pronoun": ("我",),
            },
        ),
        (
            "en",
            {
                "name": ("Wren Hollis",),
                "age": ("twenty-three",),
                "birthday": ("October 31st",),
                "hobby": ("mending boats",),
                "likes": ("old maps",),
                "dislikes": ("loud bells",),
                "relations": ("Tobias's cousin", "brother Tobias"),
                "occupation": ("keeper",),
            },
        ),
    ],
)
def test_what_lines_say_outright(language: str, values: dict[str, tuple[str, ...]]) -> None:
    rows = rows_by_topic(language)
    assert {topic: rows[topic].values for topic in values} == values
    for row in rows.values():
        assert row.language == language
        assert row.source == "lines"
        assert 0 < row.confidence < 1
        assert row.evidence


def test_a_row_cites_the_lines_that_prove_it() -> None:
    row = rows_by_topic("en")["birthday"]
    assert row.question == "When is Wren Hollis's birthday?"
    assert row.answer == "The birthday is October 31st."
    text = "My birthday is October 31st. I love old maps, aye. I'm the keeper of this library."
    assert row.evidence == (Evidence("a.ks", "harbour", 4, text),)
    assert rows_by_topic("zh")["birthday"].answer == "生日是三月九日。"
    assert rows_by_topic("ja")["birthday"].question == "七瀬澪の誕生日はいつ？"


def test_a_name_that_nobody_says_stands_over_her_lines() -> None:
    work = [scene("s", "ja", "灯：うん。\n澪：そうだね。")]
    [row] = rows_of_lines(gather(work, ("澪",)))[0]
    assert (row.topic, row.values, row.evidence[0].text) == ("name", ("澪",), "そうだね。")


def test_contradictions_are_listed_and_doubted() -> None:
    rows, contradictions = rows_of_lines(gather(WORKS["zh"], NAMES["zh"]))
    [found] = contradictions
    assert (found.topic, found.values) == ("age", ("十八", "十九"))
    assert [(each.file, each.index) for each in found.evidence] == [("a.ks", 2), ("b.ks", 1)]
    assert next(row for row in rows if row.topic == "age").confidence < 0.5


def facts_of(language: str, *lines: str, name: str = "澪") -> dict[str, tuple[str, ...]]:
    work = [scene("s", language, "\n".join(lines))]
    return {each.topic: each.values for each in find_facts(gather(work, (name,)))[0] if each.topic != "name"}


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("ja", "澪：翔太は十七歳だよ。"),
        ("ja", "澪：わたしが五歳の頃、海に行ったの。"),
        ("ja", "澪：わたしは十七歳になったら、旅に出る。"),
        ("ja", "澪：わたしは何歳に見える？"),
        ("ja", "澪：翔太の誕生日は五月二日だよ。"),
        ("ja", "澪：翔太の趣味は釣りだよ。"),
        ("ja", "澪：趣味は何ですか。"),
        ("ja", "澪：猫が好きじゃない。"),
        ("ja", "澪：先輩が好きです。"),
        ("ja", "澪：翔太は猫が好きだって。"),
        ("ja", "澪：あなたのことが好き。"),
        ("ja", "翔太：わたしは十七歳だ。"),
        ("zh", "澪：我十七岁那年去了海边。"),
        ("zh", "澪：我的生日是什么时候？"),
        ("zh", "澪：他的生日是三月九日。"),
        ("zh", "澪：我喜欢你。"),
        ("zh", "澪：我喜欢什么呢？"),
        ("zh", "澪：我并不喜欢猫。"),
        ("zh", "翔太：我今年十八岁。"),
        ("en", "澪：I'm one of them."),
        ("en", "澪：I'm twenty minutes late."),
        ("en", "澪：I love you."),
        ("en", "澪：I like it here."),
        ("en", "澪：His birthday is May 2nd."),
        ("en", "澪：Do I like cats?"),
        ("en", "翔太：I'm thirty."),
    ],
)
def test_what_is_said_of_something_else(language: str, line: str) -> None:
    assert facts_of(language, line, "澪：。", "翔太：。") == {}


@pytest.mark.parametrize(
    ("language", "line", "fact"),
    [
        ("ja", "翔太：澪ちゃんは１７歳だよ。", {"age": ("１７",)}),
        ("ja", "翔太：澪の誕生日は12月24日だ。", {"birthday": ("12月24日",)}),
        ("ja", "澪：料理が趣味です。", {"hobby": ("料理",)}),
        ("ja", "澪：私の母さんは厳しいの。", {"relations": ("母さん",)}),
        ("ja", "澪：翔太くんは私の幼なじみなの。", {"relations": ("幼なじみの翔太",)}),
        ("ja", "澪：私は生徒会長です。", {"occupation": ("生徒会長",)}),
        ("zh", "澪：17岁？我已经20岁了。", {"age": ("20",)}),
        ("zh", "翔太：澪的爱好是弹钢琴。", {"hobby": ("弹钢琴",)}),
        ("zh", "澪：我爱吃草莓蛋糕。", {"likes": ("吃草莓蛋糕",)}),
        ("zh", "澪：我怕黑啦！", {"dislikes": ("黑",)}),
        ("en", "澪：My birthday is the 2nd of May.", {"birthday": ("2nd of May",)}),
        ("en", "翔太：澪 is 19.", {"age": ("19",)}),
        ("en", "澪：Fishing is my hobby.", {"hobby": ("Fishing",)}),
        ("en", "澪：I work at the bakery, you know.", {"occupation": ("at the bakery",)}),
        ("en", "澪：My mother sings.", {"relations": ("mother",)}),
    ],
)
def test_other_ways_to_say_it(language: str, line: str, fact: dict[str, tuple[str, ...]]) -> None:
    assert facts_of(language, line, "澪：。", "翔太：。") == fact


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17", 17), ("１７", 17), ("十七", 17), ("二十", 20), ("百二十", 120), ("一七", 17), ("两百", 200),
        ("seventeen", 17), ("Twenty-three", 23), ("forty", 40), ("many", None), ("十e", None),
    ],
)  # fmt: skip
def test_numbers(text: str, value: int | None) -> None:
    assert number(text) == value


def test_the_same_value_in_other_letters_is_no_contradiction() -> None:
    work = [scene("s", "ja", "澪：私は十七歳です。\n澪：私は１７歳なの。\n翔太：澪は17歳だ。")]
    findings, contradictions = find_facts(gather(work, ("澪",)))
    [age] = [each for each in findings if each.topic == "age"]
    assert (age.values, len(age.records[0]), contradictions) == (("十七",), 3, [])


# --- how she speaks


def talk(language: str) -> Dossier:
    """Thirty lines of hers with habits, thirty of somebody without."""
    hers = {
        "ja": (
            "澪：翔太くん、{n}番目の星なのだわ。",
            "澪：{n}人で星屑カフェに行くのだわ。",
            "澪：さて、星屑カフェは{n}時までなのだわ。",
        ),
        "zh": ("澪：翔太君，第{n}颗星星嘛。", "澪：星屑店有{n}个人嘛。", "澪：走，去星屑店，{n}点见嘛。"),
        "en": (
            "澪：Star number {n} rises, darling.",
            "澪：Off to Stardust at {n}, darling.",
            "澪：{n} cups, off to bed, darling.",
        ),
    }[language]
    his = {
        "ja": "翔太：ああ、{n}杯のコーヒーだ。僕は眠い。",
        "zh": "翔太：好，第{n}杯咖啡。我困了。",
        "en": "翔太：Fine, coffee number {n}. I need sleep.",
    }[language]
    text = "\n".join(f"{hers[n % 3]}\n{his}".replace("{n}", str(n)) for n in range(30))
    return gather([scene("s", language, text)], ("澪",))


@pytest.mark.parametrize(
    ("language", "endings", "phrase", "address"),
    [
        ("ja", ("のだわ",), "星屑カフェ", ("翔太くん",)),
        ("zh", ("嘛",), "星屑店", ("翔太君",)),
        ("en", ("darling",), "off to", ()),
    ],
)
def test_how_she_speaks(
    language: str, endings: tuple[str, ...], phrase: str, address: tuple[str, ...]
) -> None:
    found = {each.topic: each for each in find_manner(talk(language))}
    assert found["endings"].values == endings
    assert phrase in found["phrases"].values
    assert found["companions"].values == ("翔太",)
    assert (found["address"].values if address else ()) == address
    for each in found.values():
        assert all(line.hers for lines in each.records for line in lines)
        assert 0 < each.confidence < 1


def test_nothing_is_claimed_without_anybody_to_compare_with() -> None:
    alone = gather([scene("s", "ja", "澪：私は星なのだわ。\n" * 30)], ("澪",))
    assert [each.topic for each in find_manner(alone)] == ["pronoun"]


def test_variables_of_the_game_and_grammar_are_no_phrases() -> None:
    hers = (
        "澪：{targetName}は人狼なのだ、{n}日目。",
        "澪：この人狼が{targetName}だね{n}。",
        "澪：{n}人の人狼か。",
    )
    text = "\n".join(f"{hers[n % 3]}\n翔太：そうか、{n}。".replace("{n}", str(n)) for n in range(30))
    found = {each.topic: each for each in find_manner(gather([scene("s", "ja", text)], ("澪",)))}
    assert found["phrases"].values == ("人狼", "日目")  # no `targetname`, no `は人狼`


def test_what_is_repeated_word_for_word_is_one_line() -> None:
    text = "澪：星を見るのだわ。\n翔太：うん、そうか。\n" * 40
    found = {each.topic for each in find_manner(gather([scene("s", "ja", text)], ("澪",)))}
    assert not found & {"endings", "phrases"}


def test_log_likelihood() -> None:
    assert log_likelihood(10, 10, 100, 100) == pytest.approx(0)
    assert log_likelihood(20, 0, 100, 100) == pytest.approx(2 * 20 * 0.6931, rel=1e-3)
    assert log_likelihood(20, 1, 100, 1000) > log_likelihood(20, 10, 100, 1000) > 10.83


# --- lines


def test_a_translation_is_read() -> None:
    line = Line(
        0,
        "speech",
        "澪",
        "澪",
        ("澪",),
        "私は十七歳です。",
        "",
        Source("a", 1),
        translations={"en": "I'm seventeen."},
    )
    silent = Line(1, "speech", "澪", "澪", ("澪",), "うん。", "", Source("a", 2))
    work = [Scene("w", "a", "s", language="ja", lines=[line, silent])]
    english = gather(work, ("澪",), "en")
    assert [record.text for record in english.records] == ["I'm seventeen."]
    assert {row.topic: row.answer for row in rows_of_lines(english)[0]}["age"] == "seventeen years old."
    assert gather(work, ("澪",)).language == "ja"
    assert rows_of_lines(gather(work, ("澪",), "fr"))[0] == rows_of_lines(gather(work, ("澪",), "fr"))[0]


def test_a_chorus_is_nobodys_own() -> None:
    line = Line(0, "speech", "澪＆灯", "澪＆灯", ("澪", "灯"), "私は十七歳です。", "", Source("a", 1))
    alone = Line(1, "speech", "澪", "澪", ("澪",), "うん。", "", Source("a", 2))
    told = gather([Scene("w", "a", "s", language="ja", lines=[line, alone])], ("澪",))
    assert [record.text for record in told.hers] == ["うん。"]


def test_somebody_who_never_speaks() -> None:
    with pytest.raises(DatasetError, match="nobody called `誰か` speaks"):
        gather(WORKS["ja"], ("誰か",))


def test_sentences() -> None:
    assert sentences("やあ！ 元気？…うん。", "ja") == ["やあ！", "元気？…", "うん。"]
    assert sentences("Dr.X is 3.5 m tall. Really?! Yes…", "en") == ["Dr.X is 3.5 m tall.", "Really?!", "Yes…"]
    assert sentences("…", "zh") == ["…"]


def test_search() -> None:
    index = Index(["猫が好き", "今日は雨", "猫と猫の話", "犬が好き"])
    assert index.search("猫の", 9)[0] == 2
    assert set(index.search("好き", 9)) == {0, 3}
    assert index.search("馬", 9) == []
    assert Index([]).search("猫", 3) == []


@given(
    st.lists(st.tuples(st.sampled_from(["澪", "翔太", ""]), st.text(max_size=60)), max_size=12),
    st.sampled_from(LANGUAGES),
)
def test_any_lines_have_a_profile(lines: list[tuple[str, str]], language: str) -> None:
    made = [
        Line(
            n,
            "speech" if who else "narration",
            who or None,
            who or None,
            (who,) if who else (),
            text,
            text,
            Source("a", n),
        )
        for n, (who, text) in enumerate([*lines, ("澪", "x")])
    ]
    told = gather([Scene("w", "a", "s", language=language, lines=made)], ("澪",))
    rows, _ = rows_of_lines(told)
    texts = {text for _, text in lines} | {"x"}
    assert all(each.text in texts for row in rows for each in row.evidence)
    assert rows[0].topic == "name"


def test_every_language_has_the_same_topics() -> None:
    assert list(TOPICS["zh"]) == list(TOPICS["ja"]) == list(TOPICS["en"])
    for topic in TOPICS["zh"]:
        wordings = [TOPICS[language][topic] for language in LANGUAGES]
        assert (
            len({bool(each.answer) for each in wordings}) == len({bool(each.query) for each in wordings}) == 1
        )


# --- with a model


def asking(server: FakeModel, **settings: Any) -> Asking:
    endpoint = Endpoint(base_url=server.base_url, api_key=server.api_key, first_token_seconds=2)
    return Asking(endpoint=endpoint, model=server.base, wait_seconds=0.01, **settings)


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel() as model:
        model.reply = answering("dream", "Wren dreams of a boat of her own.", "dream is a boat")
        yield model


def answering(about: str, answer: str, line: str) -> Any:
    """A model that knows one thing: `answer` to a question with `about`, citing the line with `line`."""

    def reply(body: dict[str, Any]) -> str:
        text = body["messages"][1]["content"]
        lines, _, asked = text.rpartition("\n\n")
        cited = re.search(rf"^\[(\d+)\].*{line}", lines, re.MULTILINE)
        known = about in asked and cited is not None
        found: dict[str, Any] = {
            "known": known,
            "answer": answer if known else "",
            "lines": [],
            "contradictions": [],
        }
        if known and cited:
            found["lines"] = [int(cited[1])]
        return json.dumps(found)

    return reply


async def run(server: FakeModel, folder: Path, language: str = "en", **more: Any) -> list[dict[str, Any]]:
    write_rows(WORKS[language], folder / "scenes.jsonl")
    settings = {key: more.pop(key) for key in ("concurrency", "tries") if key in more}
    await profile(
        folder / "scenes.jsonl",
        folder / "out.jsonl",
        ProfileOptions(NAMES[language]),
        asking=asking(server, **settings),
        **more,
    )
    return rows_in(folder / "out.jsonl")


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_a_model_answers_what_no_line_says_outright(model: FakeModel, tmp_path: Path) -> None:
    model.reply = answering("wish", "Wren dreams of a boat of her own.", "My dream is")
    losses = Losses()
    rows = {row["topic"]: row for row in await run(model, tmp_path, losses=losses)}
    wish = rows["wish"]
    assert wish["answer"] == "Wren dreams of a boat of her own."
    assert wish["source"] == model.base
    assert [each["text"] for each in wish["evidence"]] == ["My dream is a boat of my own."]
    assert list(rows) == [topic for topic in TOPICS["en"] if topic in rows]
    asked = {body["messages"][1]["content"].rpartition("\n\n")[2] for body in model.requests}
    assert "How old is Wren Hollis?" not in asked  # a line says it
    assert "What does Wren Hollis like?" in asked  # a pattern found something, and may have missed more
    assert rows["likes"]["values"] == ["old maps"]
    assert losses.emitted == len(rows)
    assert losses.skipped == {"not in the lines": len(model.requests) - 1}


async def test_what_a_model_is_shown(model: FakeModel, tmp_path: Path) -> None:
    await run(model, tmp_path, "zh")
    system, user = (message["content"] for message in model.requests[0]["messages"])
    assert "顾小雨" in system
    lines = user.splitlines()
    assert lines[0].startswith("[1] ")
    assert any(re.fullmatch(r"\[\d+\] 林诚：顾小雨是我表妹。", line) for line in lines)
    assert lines[-2:] == ["", "顾小雨多大了？"]  # asked, since two lines contradict one another


TOLD = gather(WORKS["en"], NAMES["en"])
[WISH] = [each for each in questions(TOLD, ()) if each.topic == "wish"]
BOAT = next(n for n, record in enumerate(WISH.shown, 1) if "boat of my own" in record.text)
OTHER = next(n for n, record in enumerate(WISH.shown, 1) if "cousin" in record.text)


@pytest.mark.parametrize(
    ("answer", "lines", "reason"),
    [
        ("Wren dreams of a boat of her own.", [BOAT], None),
        ("Her dream: owning boats.", [BOAT, OTHER], None),
        ("Wren dreams of a boat of her own.", [OTHER], "not proven by its lines"),
        ("Wren wants to become a famous violin teacher in Vienna.", [BOAT], "not proven by its lines"),
        ("Wren.", [BOAT], "not proven by its lines"),
        ("她的梦想是拥有一艘自己的船。", [BOAT], "language"),
        ("As an AI, I think her dream is a boat.", [BOAT], "assistant phrase"),
        ("  ", [BOAT], "not in the lines"),
    ],
)
def test_an_answer_is_taken_only_when_its_lines_say_so(
    answer: str, lines: list[int], reason: str | None
) -> None:
    reply = Reply(known=True, answer=answer, lines=lines, contradictions=[])
    found = unproven(WISH, reply, TOLD)
    assert (found and found[0]) == reason, found


def test_key_words() -> None:
    assert key_words("She practises sisterly maps") == {"pract", "siste", "map"}
    assert key_words("她喜欢修旧伞的店") == {"喜欢", "欢修", "修旧", "旧伞"}
    assert key_words("彼女は星が好きです") == {"彼女", "好き"}


@pytest.mark.parametrize("lines", [[0], [99], []])
async def test_numbers_of_no_line_are_garbage(model: FakeModel, tmp_path: Path, lines: list[int]) -> None:
    model.reply = lambda _: json.dumps(
        {"known": True, "answer": "a boat", "lines": lines, "contradictions": []}
    )
    losses = Losses()
    await run(model, tmp_path, losses=losses)
    assert losses.skipped == {"garbage": len(model.requests) // 2}
    assert "lines" in model.requests[-1]["messages"][-1]["content"]


async def test_contradictions_that_a_model_sees(model: FakeModel, tmp_path: Path) -> None:
    conflict = {"lines": [1, 2, 2], "what": "eighteen and nineteen"}
    model.reply = lambda _: json.dumps(
        {"known": False, "answer": "", "lines": [], "contradictions": [conflict]}
    )
    await run(model, tmp_path, "zh")
    first, *others = rows_in(tmp_path / "out.contradictions.jsonl")
    assert (first["source"], first["values"]) == ("lines", ["十八", "十九"])
    assert others[0]["values"] == ["eighteen and nineteen"]
    assert len(others[0]["evidence"]) == 2


async def test_without_a_model_nothing_is_asked(tmp_path: Path) -> None:
    write_rows(WORKS["ja"], tmp_path / "scenes.jsonl")
    made = await profile(tmp_path / "scenes.jsonl", tmp_path / "out.jsonl", ProfileOptions(NAMES["ja"]))
    assert [row.topic for row in made] == [row["topic"] for row in rows_in(tmp_path / "out.jsonl")]
    assert not (tmp_path / "out.answers.jsonl").exists()
    first = (tmp_path / "out.jsonl").read_bytes()
    await profile(tmp_path / "scenes.jsonl", tmp_path / "out.jsonl", ProfileOptions(NAMES["ja"]))
    assert (tmp_path / "out.jsonl").read_bytes() == first


async def test_a_spent_budget_and_a_second_run(model: FakeModel, tmp_path: Path) -> None:
    model.reply = answering("wish", "Wren dreams of a boat of her own.", "My dream is")
    write_rows(WORKS["en"], tmp_path / "scenes.jsonl")
    options = ProfileOptions(NAMES["en"])
    before = estimate_profile(tmp_path / "scenes.jsonl", tmp_path / "out.jsonl", options, asking(model))
    assert before.rows == len(questions(TOLD, {"name", "age", "birthday", "relations", "hobby"}))
    losses = Losses()
    budget = Budget(tokens=before.most.total // before.rows + 1500)  # an answer needs a part of its room
    with pytest.raises(BudgetSpent):
        await run(model, tmp_path, losses=losses, budget=budget)
    asked = len(model.requests)
    assert 0 < asked < before.rows
    assert losses.skipped["not asked yet"] == before.rows - asked
    assert {"name", "age"} <= {row["topic"] for row in rows_in(tmp_path / "out.jsonl")}
    rows = await run(model, tmp_path)
    assert len(model.requests) == before.rows
    assert "wish" in {row["topic"] for row in rows}
    whole = (tmp_path / "out.jsonl").read_bytes()
    await run(model, tmp_path, concurrency=1)
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert len(model.requests) == before.rows


def test_the_prompt_has_a_version() -> None:
    """Answers are kept by the prompt's version: whoever changes a word of it gives it a new one."""
    words = "".join(profile_prompt.system_text("N", language) for language in (*LANGUAGES, "ko"))
    words += profile_prompt.lines_text("Q?", list(TOLD.records), "en")
    digest = hashlib.sha256(words.encode()).hexdigest()[:12]
    assert (profile_prompt.PROMPT, digest) == ("profile-1", "b4fbec1732f2")
