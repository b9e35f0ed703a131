"""LLaMA-Factory's own reading of a data set, in its environment: `llamafactory_loader.py FOLDER OUT NAME…`.

Writes JSON into the file OUT (its log goes to the standard output): for each name of `dataset_info.json`, the
text of every row and what of it is trained, after its loader, its converter and its supervised processor. The
tokenizer reads bytes, so nothing is fetched.
"""

import importlib.machinery
import json
import sys
import types


def without_sound() -> None:
    """`llamafactory.data` imports torchaudio, whose builds on PyPI want CUDA; texts need none."""
    module = types.ModuleType("torchaudio")
    module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = module


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    reader = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=reader, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )


def main(folder, out, names):
    without_sound()
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.extras.constants import IGNORE_INDEX
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    reader = tokenizer()
    found = {}
    for name in names:
        data = DataArguments(template="chatml", dataset=name, dataset_dir=folder, cutoff_len=100_000)
        data.overwrite_cache = True
        model = ModelArguments(model_name_or_path="none")
        training = Seq2SeqTrainingArguments(output_dir="run", use_cpu=True)
        template = get_template_and_fix_tokenizer(reader, data)
        rows = get_dataset(template, model, data, training, stage="sft", tokenizer=reader)["train_dataset"]
        found[name] = [
            {
                "text": reader.decode(row["input_ids"]),
                "trained": reader.decode([token for token in row["labels"] if token != IGNORE_INDEX]),
            }
            for row in rows
        ]
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
