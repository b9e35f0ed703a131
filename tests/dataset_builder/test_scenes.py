"""What is made of scenes once the whole work is in sight."""

from dataset_builder.lines import spoken
from dataset_builder.report import Losses
from dataset_builder.scenes import REPLAY, tidy
from dataset_builder.schema import Choice, Line, Scene, Source


def lines(*said: tuple[str | None, str]) -> list[Line]:
    return [spoken(i, who, text, text, Source("f")) for i, (who, text) in enumerate(said)]


def scene(file: str, name: str, *said: tuple[str | None, str], **more: object) -> Scene:
    return Scene("w", file, name, lines=lines(*said), **more)  # type: ignore[arg-type]


def test_a_long_quiet_stretch_opens_a_scene_only_where_the_format_has_no_borders() -> None:
    said = [
        ("灯", "「あ」"),
        *[(None, f"静かだ{n}。") for n in range(4)],
        ("凛", "「い」"),
        (None, "。"),
        ("凛", "「う」"),
    ]
    first, second = tidy([scene("a.json", "", *said, choices=[Choice("x")], next=["z"])], Losses(), gap=4)
    assert ([each.text for each in first.lines], first.scene, first.next) == (["あ"], "1", ["2"])
    assert [each.index for each in second.lines] == list(range(7))
    assert (second.scene, second.next, second.choices) == ("2", ["z"], [Choice("x")])
    assert first.choices == []
    assert len(tidy([scene("a.ks", "label", *said)], Losses(), gap=4)) == 1
    assert len(tidy([scene("a.json", "", *said)], Losses(), gap=0)) == 1


def test_a_replay_is_dropped_and_counted() -> None:
    said = [("灯", f"「{n}」") for n in range(REPLAY)]
    losses = Losses(seen=3 * REPLAY + 1, emitted=3 * REPLAY + 1)
    found = tidy(
        [
            scene("a", "1", *said),
            scene("patch/a", "1", *said),
            scene("b", "1", *said[:-1], ("灯", "「違う」")),
        ],
        losses,
    )
    assert [each.file for each in found] == ["a", "b"]
    assert losses.emitted == 2 * REPLAY + 1
    assert sum(losses.skipped.values()) == REPLAY
    short = scene("a", "1", *said[: REPLAY - 1]), scene("c", "1", *said[: REPLAY - 1])
    assert len(tidy(short, Losses())) == 2


def test_a_duo_is_two_people_only_if_both_are_known() -> None:
    found = tidy(
        [
            scene(
                "a",
                "1",
                ("空·友", "「二人」"),
                ("空", "「一」"),
                ("友", "「一」"),
                ("ジャン・レノ", "「私」"),
            )
        ],
        Losses(),
    )
    assert [each.speakers for each in found[0].lines] == [("空", "友"), ("空",), ("友",), ("ジャン・レノ",)]


def test_a_scene_says_its_language_and_a_short_one_has_that_of_the_work() -> None:
    found = tidy(
        [
            scene("a", "1", *[("灯", "「おはようございます、今日もいい天気ですね」")] * 9),
            scene("a", "2", ("凛", "「無理」")),
            Scene("w", "a", "3", language="fr", lines=lines(("X", "oui"))),
            scene("b", "1", *[("M", "This is a very long English sentence, said by somebody.")]),
        ],
        Losses(),
    )
    assert [each.language for each in found] == ["ja", "ja", "fr", "en"]
