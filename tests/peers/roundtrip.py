"""Adapter files both ways between Graft and the libraries whose layouts they are.

    python roundtrip.py [--graft PATH] [--work FOLDER]

Graft writes, Python reads: a tiny ViT (or BERT) with each kind of adapter is trained for a few steps, exported, loaded by
peft or adapters, and run on the same inputs by both. Python writes, Graft reads: the library's own adapters, every value drawn
at random, are saved and run by both. Prints one line each with the largest difference of a logit; ends with 1 if one
is beyond 1e-4 of the largest logit.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification, ViTForImageClassification

try:
    import adapters
except ImportError:
    adapters = None

ROOT = Path(__file__).resolve().parents[2]
VIT = ROOT / "tests/fixtures/vit_tiny"
BERT = ROOT / "tests/fixtures/bert_tiny"
TOLERANCE = 1e-4
OLD_NAMES = int(transformers.__version__.split(".")[0]) < 5

QUERY_VALUE = "model.blocks.*.attention.{query,value}"

# What Graft trains, and which library reads it.
TRAINED = {
    "LoRA": ("peft", [(QUERY_VALUE, "Lora(rank: 4, alpha: 8)")]),
    "LoRA, several ranks, patch kernel": (
        "peft",
        [
            ("model.blocks.0.attention.query", "Lora(rank: 2, alpha: 8)"),
            ("model.blocks.1.mlp.fc1", "Lora(rank: 5, alpha: 3)"),
            ("model.embeddings.projection", "Lora(rank: 3, alpha: 8)"),
        ],
    ),
    "LoRA and norms": (
        "peft",
        [(QUERY_VALUE, "Lora(rank: 2, alpha: 8)"), ("model.blocks.*.mlp.norm", "Unfreeze()")],
    ),
    "LoRA and its biases": (
        "peft",
        [(QUERY_VALUE, "Lora(rank: 2, alpha: 8)"), (QUERY_VALUE, "Unfreeze(what: Bias)")],
    ),
    "rsLoRA": ("peft", [(QUERY_VALUE, "Lora(rank: 4, alpha: 4, rank_stabilised: true)")]),
    "DoRA": ("peft", [(QUERY_VALUE, "Lora(rank: 3, alpha: 6, dora: true)")]),
    "DoRA, patch kernel": ("peft", [("model.embeddings.projection", "Lora(rank: 3, alpha: 6, dora: true)")]),
    "SHiRA": ("peft", [(QUERY_VALUE, "Sparse(rank: 2, mask: Random, seed: 5)")]),
    "SHiRA, largest weights": ("peft", [(QUERY_VALUE, "Sparse(rank: 2, mask: Magnitude)")]),
    "bottleneck at P4": ("adapters", [("model.blocks.*.P4", "Bottleneck(width: 6)")]),
    "bottleneck at P1 and P4": (
        "adapters",
        [("model.blocks.*.{P1,P4}", "Bottleneck(width: 5, activation: Silu, norm: true)")],
    ),
    "bottleneck at P5": ("adapters", [("model.blocks.1.P5", "Bottleneck(width: 7, activation: Relu, bias: false)")]),
    "parallel, learned scale": (
        "adapters",
        [("model.blocks.*.P4", "Bottleneck(width: 6, reads: P2, scale: 4, scaling: Learned, activation: GeluTanh)")],
    ),
    "Compacter": (
        "adapters",
        [
            ("model.blocks.*.{P1,P4}", "Bottleneck(width: 6)"),
            ("model.**.adapter_0.{down,up}", "Phm(n: 2, rank: 1)"),
        ],
    ),
}

# The same on BERT, whose norms follow the residual adds.
TRAINED_BERT = {
    "bottleneck at P1 and P4": ("adapters", [("model.blocks.*.{P1,P4}", "Bottleneck(width: 6)")]),
    "bottleneck from behind add and norm": (
        "adapters",
        [("model.blocks.*.P4", "Bottleneck(width: 6, reads: AddNorm, activation: Relu)")],
    ),
}


def lora(**settings):
    return peft.LoraConfig(r=4, lora_alpha=6, modules_to_save=["classifier"], **settings)


def own():
    """What the libraries write: name, library, settings."""
    query, value = ("query", "value") if OLD_NAMES else ("q_proj", "v_proj")
    yield "LoRA", "peft", lora(target_modules=[query, value])
    yield "LoRA, several ranks", "peft", lora(target_modules=[query, value], rank_pattern={f"1.*{query}": 2})
    yield "LoRA, all linear layers, all biases", "peft", peft.LoraConfig(r=2, target_modules="all-linear", bias="all")
    yield "rsLoRA", "peft", lora(target_modules=[query], use_rslora=True)
    yield "DoRA, patch kernel too", "peft", lora(target_modules=[query, "projection"], use_dora=True)
    yield "SHiRA", "peft", peft.ShiraConfig(r=2, random_seed=3, target_modules=[query])
    yield "SHiRA, no seed", "peft", peft.ShiraConfig(r=2, target_modules=[query])
    if adapters is None:
        return
    for name in ("seq_bn", "double_seq_bn", "par_bn", "scaled_par_bn"):
        settings = f"{name}[reduction_factor=4]" if name != "scaled_par_bn" else "par_bn[scaling='learned']"
        yield name, "adapters", settings
    yield "norm before, by channel", "adapters", "seq_bn[ln_before=True,scaling='channel',reduction_factor=5]"
    yield "compacter", "adapters", "compacter[phm_dim=2,reduction_factor=4]"
    yield "compacter++", "adapters", "compacter++[phm_dim=3,reduction_factor=4,shared_phm_rule=False,phm_rank=2]"


def own_bert():
    """The same for BERT."""
    if adapters is None:
        return
    for settings in ("seq_bn[reduction_factor=4]", "seq_bn[reduction_factor=4,mh_adapter=True]", "double_seq_bn[reduction_factor=4]"):
        yield settings.replace("reduction_factor=4", "").replace("[,", "[").replace("[]", ""), "adapters", settings


class Subject:
    """A base model, the inputs that logits are compared on, and data to train on."""

    def __init__(self, word, folder, cls, inputs, data, work):
        self.word, self.folder, self.cls, self.inputs = word, folder, cls, inputs
        save_file(inputs, work / f"{word}.safetensors")
        save_file(data, work / f"{word}_data.safetensors")

    def base(self):
        return self.cls.from_pretrained(self.folder).eval()


def vit(work):
    data = {"inputs": torch.randn(64, 3, 30, 30), "labels": torch.randint(0, 5, (64,))}
    data |= {"test_inputs": torch.randn(16, 3, 30, 30), "test_labels": torch.randint(0, 5, (16,))}
    return Subject("vit", VIT, ViTForImageClassification, {"pixel_values": torch.randn(4, 3, 30, 30)}, data, work)


def bert(work):
    words = json.loads((BERT / "config.json").read_text())["vocab_size"]
    ids = lambda rows: torch.randint(0, words, (rows, 7))
    mask = torch.tensor([[1] * length + [0] * (7 - length) for length in (7, 5, 3, 6)])
    data = {"inputs": ids(64), "labels": torch.randint(0, 5, (64,)), "attention_mask": torch.ones(64, 7, dtype=torch.int64)}
    data |= {f"test_{name}": values[:16].clone() for name, values in data.items()}
    inputs = {"input_ids": ids(4), "attention_mask": mask}
    return Subject("bert", BERT, BertForSequenceClassification, inputs, data, work)


def run(command, work):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=work)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def graft_logits(graft, subject, folder, work):
    out = work / "forward.safetensors"
    given = work / f"{subject.word}.safetensors"
    run([graft, "forward", "--model", subject.folder, "--adapter", folder, "--input", given, "--output", out], work)
    return load_file(out)["logits"]


def python_logits(model, subject):
    with torch.no_grad():
        return model.eval()(**subject.inputs).logits


def trained(graft, work, number, library, kinds, subject):
    """Trains and exports by Graft, loads by the library."""
    placed = ", ".join(f'(at: "{at}", kind: {kind})' for at, kind in kinds)
    project = work / f"project_{subject.word}_{number}.ron"
    project.write_text(
        f"""(
            version: 2, name: "roundtrip_{subject.word}_{number}", seed: {number}, model: Folder("{subject.folder}"),
            data: Tensors(file: "{subject.word}_data.safetensors"), adapters: [{placed}],
            stages: [Train(
                train: ["model.head"], epochs: 6, batch: 8, evaluate_every: 0,
                optimiser: AdamW(learning_rate: 2e-2),
            )],
        )"""
    )
    events = run([graft, "train", project, "--json"], work).splitlines()
    folder = work / "runs" / json.loads(events[0])["run"]
    out = work / f"exported_{subject.word}_{number}"
    command = [graft, "export", folder, "--out", out, "--format", "adapterhub" if library == "adapters" else "peft"]
    if not OLD_NAMES:
        command += ["--names", "transformers5"]
    run(command, work)
    model = subject.base()
    plain = python_logits(model, subject)
    if library == "peft":
        model = peft.PeftModel.from_pretrained(model, out)
    else:
        adapters.init(model)
        model.load_adapter(str(out), set_active=True, use_safetensors=True)
    return out, plain, python_logits(model, subject)


def written(work, number, library, settings, subject):
    """Draws every value of an adapter of the library's own, and saves it."""
    out = work / f"saved_{subject.word}_{number}"
    model = subject.base()
    plain = python_logits(model, subject)
    generator = torch.Generator().manual_seed(number)
    if library == "peft":
        model = peft.get_peft_model(model, settings)
        mine = [p for p in model.parameters() if p.requires_grad]
    else:
        adapters.init(model)
        model.add_adapter("mine", config=settings)
        model.set_active_adapters("mine")
        mine = [p for name, p in model.named_parameters() if ".mine." in name or name.startswith("classifier")]
    with torch.no_grad():
        for parameter in mine:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    if library == "peft":
        model.save_pretrained(out, save_embedding_layers=False)
    elif "ln_before=True" in settings:
        # One norm by two names: safetensors' own writer refuses it, so the copies are made here.
        model.save_adapter(str(out), "mine")
        for pickled, safe in (("pytorch_adapter.bin", "adapter"), ("pytorch_model_head.bin", "model_head")):
            state = torch.load(out / pickled, weights_only=True)
            save_file({name: tensor.clone() for name, tensor in state.items()}, out / f"{safe}.safetensors")
    else:
        model.save_adapter(str(out), "mine", use_safetensors=True)
    return out, plain, python_logits(model, subject)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graft", type=Path, default=ROOT / "target/release/graft")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    work = (options.work or Path(tempfile.mkdtemp(prefix="roundtrip-"))).resolve()
    options.graft = options.graft.resolve()
    work.mkdir(parents=True, exist_ok=True)
    subjects = [(vit(work), TRAINED, own), (bert(work), TRAINED_BERT, own_bert)]
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}
    versions["adapters"] = getattr(adapters, "__version__", "not installed")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'':7} {'':9} {'adapter':40} {'moved by':>9} {'apart':>9} {'largest':>8}")
    worst = 0.0

    def line(direction, library, subject, name, plain, theirs, folder):
        nonlocal worst
        ours = graft_logits(options.graft, subject, folder, work)
        apart, largest = (ours - theirs).abs().max().item(), theirs.abs().max().item()
        moved = (theirs - plain).abs().max().item()
        worst = max(worst, apart / largest)
        name = name if subject.word == "vit" else f"{subject.word}: {name}"
        print(f"{direction:7} {library:9} {name:40} {moved:9.3f} {apart:9.1e} {largest:8.3f}", flush=True)

    for subject, kinds_of, own_of in subjects:
        for number, (name, (library, kinds)) in enumerate(kinds_of.items()):
            if library == "adapters" and adapters is None:
                continue
            folder, plain, theirs = trained(options.graft, work, number, library, kinds, subject)
            line("graft →", library, subject, name, plain, theirs, folder)
        for number, (name, library, settings) in enumerate(own_of()):
            folder, plain, theirs = written(work, number, library, settings, subject)
            line("→ graft", library, subject, name, plain, theirs, folder)
    print(f"worst: {worst:.1e} of the largest logit; {TOLERANCE:.0e} allowed")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
