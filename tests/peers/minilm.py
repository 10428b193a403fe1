"""A published sentence encoder in Graft and in transformers: the same embeddings, then LoRA on a few sentences.

    python minilm.py --model FOLDER_OR_WHEEL [--graft PATH] [--work DIR] [--epochs 10]

Ends with 1 when the two sides are further apart than 1e-4 of the largest value, or when the loss does not fall.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

TOLERANCE = 1e-4

# Of unlike lengths, so that the mask matters.
SENTENCES = [
    "A cat sleeps on the warm window sill.",
    "The kitten is dozing by the window.",
    "Interest rates rose again this quarter, and the central bank expects them to stay high until inflation falls.",
    "Rain.",
    "How do I sort a list of numbers in Python?",
    "What is the fastest way to order integers in a Python list, if most of them are already in place?",
    "The orchestra tuned its instruments.",
]

COOKING = [
    "Chop the onions finely and fry them in butter.",
    "Let the dough rise for an hour before baking.",
    "Add a pinch of salt to the boiling water.",
    "The soup needs more pepper and a bay leaf.",
    "Whisk the eggs with sugar until pale.",
    "Roast the carrots with honey and thyme.",
    "Simmer the sauce until it thickens.",
    "Grease the tin and line it with paper.",
    "Marinate the chicken overnight in yoghurt.",
    "Serve the pasta with grated cheese.",
    "Knead it well, then shape small loaves.",
    "Peel the potatoes and cut them into cubes.",
]

WEATHER = [
    "Heavy showers will cross the coast tonight.",
    "Tomorrow stays dry with a light breeze.",
    "Fog forms in the valleys before sunrise.",
    "Temperatures fall below freezing on Friday.",
    "A cold front brings snow to the mountains.",
    "Strong gusts are expected around noon.",
    "The heat wave ends with thunderstorms.",
    "Clouds clear slowly from the west.",
    "It will be unusually mild for January.",
    "Hail damaged crops in the north.",
    "Humidity rises ahead of the storm.",
    "Sunny spells follow a grey morning.",
]


def model_folder(given: Path, work: Path) -> Path:
    """The folder itself, or the one that a wheel holds."""
    if given.is_dir():
        return given
    with zipfile.ZipFile(given) as wheel:
        wheel.extractall(work / "wheel")
    return next((work / "wheel").rglob("config.json")).parent


def tokenise(tokeniser, sentences: list[str], names: list[str]) -> dict[str, torch.Tensor]:
    batch = tokeniser(sentences, padding=True, return_tensors="pt")
    return {name: batch[name].contiguous() for name in names}


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over tokens, at length 1."""
    weight = mask[..., None].to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)


def compare(graft: str, model: Path, work: Path) -> bool:
    tokeniser = AutoTokenizer.from_pretrained(model)
    columns = tokenise(tokeniser, SENTENCES, ["input_ids", "attention_mask", "token_type_ids"])
    save_file(columns, work / "sentences.safetensors")
    command = [graft, "forward", "--model", model, "--input", work / "sentences.safetensors"]
    subprocess.run([*map(str, command), "--output", str(work / "states.safetensors")], check=True)
    ours = load_file(work / "states.safetensors")
    with torch.no_grad():
        theirs = AutoModel.from_pretrained(model).eval()(**columns)
    mask = columns["attention_mask"]
    pairs = {
        "last_hidden_state": (ours["last_hidden_state"], theirs.last_hidden_state),
        "pooler_output": (ours["pooler_output"], theirs.pooler_output),
        "embeddings": (pooled(ours["last_hidden_state"], mask), pooled(theirs.last_hidden_state, mask)),
    }
    print(f"{len(SENTENCES)} sentences of {mask.sum(1).tolist()} tokens")
    well = True
    for name, (got, want) in pairs.items():
        off = ((got - want).abs().max() / want.abs().max()).item()
        print(f"  {name} {list(want.shape)}: off by {off:.1e} of the largest value")
        well &= off <= TOLERANCE
    embedded = pairs["embeddings"][0]
    near, far = (embedded[0] @ embedded[1]).item(), (embedded[0] @ embedded[2]).item()
    print(f"  cosine of two sentences on a sleeping cat {near:.4f}, of one of them and one on interest rates {far:.4f}")
    return well and near > far


def train(graft: str, model: Path, work: Path, epochs: int) -> bool:
    tokeniser = AutoTokenizer.from_pretrained(model)
    columns = tokenise(tokeniser, COOKING + WEATHER, ["input_ids", "attention_mask"])
    labels = torch.tensor([0] * len(COOKING) + [1] * len(WEATHER))
    tensors = {"inputs": columns["input_ids"], "attention_mask": columns["attention_mask"], "labels": labels}
    save_file(tensors, work / "labelled.safetensors")
    (work / "minilm.ron").write_text(
        f"""(
            version: 2,
            name: "minilm",
            model: Folder({json.dumps(str(model.resolve()))}),
            data: Tensors(file: "labelled.safetensors", validation: 0.0, classes: ["cooking", "weather"]),
            adapters: [(at: "model.blocks.*.attention.{{query,value}}", kind: Lora(rank: 8, alpha: 16))],
            stages: [Train(
                train: ["model.head"], epochs: {epochs}, batch: 8, optimiser: AdamW(learning_rate: 5e-3),
                evaluate_every: 0,
            )],
        )"""
    )
    command = [graft, "train", str(work / "minilm.ron"), "--json", "--runs", str(work / "runs")]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    stage = next(event for event in events if event["event"] == "stage")
    losses = [event["loss"] for event in events if event["event"] == "step"]
    print(f"LoRA on query and value: {stage['trainable']} parameters train, {len(losses)} steps of 8 sentences")
    print("  loss " + " ".join(f"{loss:.3f}" for loss in losses))
    each = len(losses) // epochs
    first, last = sum(losses[:each]) / each, sum(losses[-each:]) / each
    print(f"  mean of the first epoch {first:.4f}, of the last {last:.4f}")
    return last < first / 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--graft", default="target/release/graft")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        model = model_folder(given.model, work)
        well = compare(given.graft, model, work)
        well &= train(given.graft, model, work, given.epochs)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
