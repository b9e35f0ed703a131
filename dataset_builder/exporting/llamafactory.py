"""LLaMA-Factory's ShareGPT rows and its `dataset_info.json`.

From its reader (hiyouga/LLaMA-Factory 0.9.5, `data/converter.py` and `data/parser.py`): roles have to
alternate, users first, in even number. A row where they do not is left out there with a warning in the log,
so here it is an error. Columns that `dataset_info.json` does not name are not read, the system prompt too.
"""

from collections.abc import Iterable
from typing import Any

from dataset_builder.errors import DatasetError
from dataset_builder.exporting.formats import SHAREGPT, Row, provenance

COLUMNS = {"messages": "conversations", "system": "system"}
TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": SHAREGPT["user"],
    "assistant_tag": SHAREGPT["assistant"],
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": SHAREGPT["system"],
}


def check(row: Row) -> None:
    """Raises `DatasetError` naming the row when LLaMA-Factory would leave it out."""
    roles = [message.role for message in row.chat]
    if not roles or len(roles) % 2:
        raise DatasetError(f"row `{row.id}`: {len(roles)} messages; LLaMA-Factory takes an even number")
    for at, role in enumerate(roles):
        due = ("user", "assistant")[at % 2]
        if role != due:
            raise DatasetError(f"row `{row.id}`: message {at + 1} is of `{role}` where `{due}` is due")


def sharegpt(row: Row) -> dict[str, Any]:
    """The row, with the system prompt in a column of its own."""
    said = [{"from": SHAREGPT[each.role], "value": each.content} for each in row.chat]
    return {"conversations": said, "system": row.system, **provenance(row)}


def dataset_info(name: str, splits: Iterable[str]) -> dict[str, Any]:
    """`dataset_info.json`: an entry a split, such as `nene_train`, in the file `train.jsonl`."""
    return {
        f"{name}_{split}": {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": COLUMNS,
            "tags": TAGS,
        }
        for split in splits
    }
