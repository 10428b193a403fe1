"""One side of the comparison: real steps of a shape in PyTorch, one JSON line a step, and a last one with memory.

    python peer.py --shape a|b|c [--steps N] [--warmup N] [--recompute] [--live]

With `--live` the steps run under PyTorch's profiler and the last line holds `live_peak_bytes`: the profiler reports
every block that PyTorch's CPU allocator hands out and takes back, that is every tensor's storage (weights, gradients,
moments, saved and temporary activations, batches). Their running sum from just before the model is built is the bytes
of tensors that live; its largest value is the peak. Scratch memory that oneDNN, MKL or OpenMP take by themselves is no
tensor and is not in it. Times of such a run are of no use, so timed runs go without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

# isort: split
import models


class Resident:
    """Resident memory of this process above where it stood at the start."""

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.forgot = True
        except OSError:
            self.forgot = False
        self.before = status("VmRSS:")
        self.polled = self.before
        if not self.forgot:
            threading.Thread(target=self.poll, daemon=True).start()

    def poll(self) -> None:
        while True:
            self.polled = max(self.polled, status("VmRSS:"))
            time.sleep(0.005)

    def peak(self) -> int:
        return max(0, (status("VmHWM:") if self.forgot else self.polled) - self.before)


def status(line: str) -> int:
    """A line of `/proc/self/status` in bytes."""
    for own in Path("/proc/self/status").read_text().splitlines():
        if own.startswith(line):
            return int(own.split()[1]) * 1024
    return 0


def recompute_blocks(model: torch.nn.Module) -> int:
    """Has every trained block keep its input only; says how many blocks there are."""
    if isinstance(model, models.Vivit):
        blocks = list(model.temporal.blocks)
    else:
        blocks = [module for module in model.modules() if type(module).__name__ == "ViTLayer"]
    for block in blocks:
        plain = block.forward

        def again(*args, plain=plain, **kwargs):
            return checkpoint(plain, *args, use_reentrant=False, **kwargs)

        block.forward = again
    return len(blocks)


def live_peak(events) -> int:
    """Largest running sum of the allocator's events, in order of time."""
    moves = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    live = peak = 0
    for _, size in moves:
        live += size
        peak = max(peak, live)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["a", "b", "c"], required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--live", action="store_true", help="measure bytes of tensors in place of times")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(1)

    import peft
    import transformers

    extents, batch = models.sample_shape(arguments.shape), models.batch_size(arguments.shape)
    samples = [torch.randn(extents) for _ in range(batch)]
    labels = [torch.tensor(index % models.CLASSES) for index in range(batch)]
    profiler = None
    if arguments.live:
        activities = [torch.profiler.ProfilerActivity.CPU]
        profiler = torch.profiler.profile(activities=activities, profile_memory=True)
        profiler.start()

    resident = Resident()
    model = models.build(arguments.shape)
    if arguments.recompute:
        recompute_blocks(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    for step in range(arguments.warmup + arguments.steps):
        begin = time.perf_counter()
        # What a data loader does with samples that are at hand.
        pixels, classes = torch.stack(samples), torch.stack(labels)
        gathered = time.perf_counter()
        loss = F.cross_entropy(model(pixels), classes)
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        value = loss.item()
        del loss, pixels, classes
        end = time.perf_counter()
        line = {
            "warmup": step < arguments.warmup,
            "loss": value,
            "step_secs": end - begin,
            "data_secs": gathered - begin,
            "forward_secs": forward - gathered,
            "backward_secs": backward - forward,
            "optimizer_secs": end - backward,
        }
        print(json.dumps(line), flush=True)
    last = {
        "resident_peak_bytes": resident.peak(),
        "params_trainable": sum(parameter.numel() for parameter in trained),
        "params_total": sum(parameter.numel() for parameter in model.parameters()),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
    }
    if profiler is not None:
        profiler.stop()
        last["live_peak_bytes"] = live_peak(profiler.profiler.kineto_results.events())
    print(json.dumps(last))


if __name__ == "__main__":
    main()
