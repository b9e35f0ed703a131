"""LLaMA-Factory's own reading of an exported folder, in its environment and from within the folder:
`llamafactory_export.py OUT KEY=VALUE…`.

Writes JSON into the file OUT: what its parser makes of `train.yaml` (with the given values over it), and the
token ids and labels of every row, after its loader, its converter and its supervised processor, with the
base's own tokenizer.
"""

import json
import sys
from pathlib import Path

import yaml
from llamafactory_loader import without_sound


def main(out, overrides):
    without_sound()
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    written = yaml.safe_load(Path("train.yaml").read_text())
    over = (each.partition("=") for each in overrides)
    written.update({key: yaml.safe_load(value) for key, _, value in over})
    model, data, training, finetuning, _ = get_train_args(written)
    reader = load_tokenizer(model)["tokenizer"]
    template = get_template_and_fix_tokenizer(reader, data)
    read = get_dataset(template, model, data, training, stage="sft", tokenizer=reader)
    found = {
        split: [[row["input_ids"], row["labels"]] for row in read[f"{split}_dataset"]]
        for split in ("train", "eval")
    }
    found["arguments"] = {
        "lora": [finetuning.lora_rank, finetuning.lora_alpha, finetuning.lora_dropout],
        "modules": sorted(finetuning.lora_target),
        "rate": training.learning_rate,
        "schedule": training.lr_scheduler_type.value,
        "warmup": training.get_warmup_steps(100),
        "epochs": training.num_train_epochs,
        "batch": [training.per_device_train_batch_size, training.gradient_accumulation_steps],
        "bits": model.quantization_bit,
        "bf16": training.bf16,
        "decay": training.weight_decay,
        "clip": training.max_grad_norm,
        "best": [training.load_best_model_at_end, training.metric_for_best_model],
        "patience": finetuning.early_stopping_steps,
    }
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
