"""The same training steps in Graft and in PyTorch, in turns and one process at a time.

    python run.py [--cases a,a-recompute,b,c] [--rounds 3] [--wait SECONDS] [--graft PATH] [--out FILE]

Prints medians of both sides, the ratio of their throughputs and of their memory; see README.md for what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
MEBIBYTE = 1024 * 1024

# Share of the machine that other processes may use before a comparison of times is called disturbed.
DISTURBED = 0.05


@dataclass(frozen=True)
class Case:
    """What both sides are called with, and how many steps a process takes."""

    shape: str
    graft: tuple[str, ...]
    torch: tuple[str, ...]
    steps: int
    warmup: int
    what: str
    # Graft's steps where they are so short that a few would say nothing.
    graft_steps: int | None = None


CASES = {
    "a": Case("a", (), (), 10, 3, "ViT-S, 6 blocks, LoRA on q and v, batch 8"),
    "a-recompute": Case("a", ("--recompute",), (), 10, 3, "the same, Graft recomputing its blocks, PEFT not"),
    "a-16-bits": Case("a", ("--kept-bits", "16"), (), 10, 3, "the same, Graft's activations waiting in 16 bits"),
    "a-recompute-16-bits": Case(
        "a", ("--recompute", "--kept-bits", "16"), (), 10, 3, "both of that, PEFT as it is"
    ),
    "a-both": Case("a", ("--recompute",), ("--recompute",), 10, 3, "the same, both recomputing"),
    "b": Case("b", (), (), 10, 3, "ViT-S, 6 blocks, fully fine-tuned, batch 8"),
    "c": Case("c", (), (), 3, 1, "ViViT-FE-S, spatial frozen, batch 64"),
    "c-cached": Case(
        "c", ("--cached",), (), 3, 1, "the same, Graft's spatial features cached from the second step on", graft_steps=30
    ),
}


@dataclass
class Side:
    """What the processes of one side said."""

    steps: list[list[dict]] = field(default_factory=list)
    last: list[dict] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def add(self, lines: list[dict], others: float) -> None:
        self.others.append(others)
        self.steps.append([line for line in lines[:-1] if not line["warmup"]])
        self.last.append(lines[-1])

    def of_steps(self, name: str) -> float:
        return median(step[name] for steps in self.steps for step in steps)

    def of_rounds(self, name: str) -> list[float]:
        return [median(step[name] for step in steps) for steps in self.steps]

    def of_last(self, name: str) -> float:
        return median(last[name] for last in self.last)

    def summary(self) -> dict:
        times = [name for name in self.steps[0][0] if name.endswith("_secs")]
        return {
            "median": {name: self.of_steps(name) for name in times},
            "fastest_step_secs": min(step["step_secs"] for steps in self.steps for step in steps),
            "step_secs_by_round": self.of_rounds("step_secs"),
            "last_loss": self.steps[-1][-1]["loss"],
            "resident_peak_bytes": self.of_last("resident_peak_bytes"),
            "live_peak_bytes": self.of_last("live_peak_bytes") if "live_peak_bytes" in self.last[0] else None,
            "params_trainable": self.last[0]["params_trainable"],
            "params_total": self.last[0]["params_total"],
            "threads": self.last[0]["threads"],
            "bound_secs": self.last[0].get("bound_secs"),
            "others_by_round": self.others,
        }


def busy() -> float:
    """Seconds that all processors have worked since the machine started."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(word) for word in words[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Seconds that this process and those it has called have worked."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def others_share(begin: tuple[float, float, float]) -> float:
    """Share of the machine that went to other processes since `begin`."""
    elapsed = time.monotonic() - begin[0]
    others = (busy() - begin[1]) - (own() - begin[2])
    return max(0.0, others / (elapsed * (os.cpu_count() or 1)))


def now() -> tuple[float, float, float]:
    """Where the clocks stand."""
    return time.monotonic(), busy(), own()


def wait_for_rest(seconds: float) -> None:
    """Waits until others leave the machine alone, at most so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = now()
        time.sleep(2)
        if others_share(begin) < DISTURBED:
            return


def call(command: list[str]) -> tuple[list[dict], float]:
    """Runs one process and reads its lines; with them, what others took of the machine meanwhile.

    Settings of other libraries' kernels are kept from it.
    """
    hidden = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    begin = now()
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    others = others_share(begin)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], others


def measure(case: Case, graft: Path, rounds: int, wait: float) -> dict:
    """Both sides of a case in turns, then PyTorch's tensors once more under its profiler."""
    def length(steps: int) -> list[str]:
        return ["--shape", case.shape, "--steps", str(steps), "--warmup", str(case.warmup)]

    python = [sys.executable, str(HERE / "peer.py")]
    sides = {"graft": Side(), "torch": Side()}
    for _ in range(rounds):
        wait_for_rest(wait)
        sides["graft"].add(*call([str(graft), *length(case.graft_steps or case.steps), *case.graft]))
        wait_for_rest(wait)
        sides["torch"].add(*call([*python, *length(case.steps), *case.torch]))
    short = ["--shape", case.shape, "--steps", "1", "--warmup", "1", "--live"]
    live = call([*python, *short, *case.torch])[0][-1]
    versions = {"graft": sides["graft"].last[0]["version"], **sides["torch"].last[0]["versions"]}
    ours, theirs = sides["graft"].summary(), sides["torch"].summary()
    theirs["live_peak_bytes"] = live["live_peak_bytes"]
    pairs = zip(theirs["step_secs_by_round"], ours["step_secs_by_round"])
    return {
        "what": case.what,
        "graft": ours,
        "torch": theirs,
        "throughput": theirs["median"]["step_secs"] / ours["median"]["step_secs"],
        "throughput_by_round": [their / our for their, our in pairs],
        "resident": ours["resident_peak_bytes"] / theirs["resident_peak_bytes"],
        "live": ours["live_peak_bytes"] / theirs["live_peak_bytes"],
        "disturbed": max(sides["graft"].others + sides["torch"].others) > DISTURBED,
        "versions": versions,
    }


def tell(name: str, found: dict) -> None:
    """A case for people."""
    print(f"\n({name}) {found['what']}")
    print(f"  {'':24}{'graft':>12}{'torch':>12}")
    ours, theirs = found["graft"], found["torch"]
    for part in ("step", "data", "forward", "backward", "optimizer"):
        key = f"{part}_secs"
        print(f"  {part + ', ms':24}{1e3 * ours['median'][key]:12.1f}{1e3 * theirs['median'][key]:12.1f}")
    print(f"  {'fastest step, ms':24}{1e3 * ours['fastest_step_secs']:12.1f}{1e3 * theirs['fastest_step_secs']:12.1f}")
    for part in ("resident", "live"):
        key = f"{part}_peak_bytes"
        print(f"  {part + ' peak, MiB':24}{ours[key] / MEBIBYTE:12.1f}{theirs[key] / MEBIBYTE:12.1f}")
    for part in ("params_trainable", "params_total", "threads"):
        print(f"  {part.replace('_', ' '):24}{ours[part]:12}{theirs[part]:12}")
    print(f"  {'last loss':24}{ours['last_loss']:12.4f}{theirs['last_loss']:12.4f}")
    if bound := ours["bound_secs"]:
        # The bound is made of the fastest product and the fastest copy.
        shares = [bound / ours["fastest_step_secs"], bound / ours["median"]["step_secs"]]
        print(f"  bound by arithmetic and memory, ms{1e3 * bound:9.1f}   ({shares[0]:.2f} of it by the fastest step, {shares[1]:.2f} by the median)")
    rounds = ", ".join(f"{ratio:.2f}" for ratio in found["throughput_by_round"])
    print(f"  graft / torch: throughput {found['throughput']:.2f} (rounds {rounds}),", end="")
    print(f" resident {found['resident']:.2f}, live {found['live']:.2f}")
    if found["disturbed"]:
        shares = [f"{100 * share:.0f} %" for share in (max(ours["others_by_round"]), max(theirs["others_by_round"]))]
        print(f"  DISTURBED: other processes took up to {shares[0]} of the machine beside graft,", end="")
        print(f" {shares[1]} beside torch; only memory can be compared")
    if ours["params_trainable"] != theirs["params_trainable"]:
        print("  THE TWO SIDES TRAIN DIFFERENT NUMBERS OF PARAMETERS")
    # PEFT keeps the head that it replaces.
    extra = theirs["params_total"] - ours["params_total"]
    if extra:
        print(f"  torch holds {extra} parameters more")


def processor() -> str:
    """Name of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def main() -> None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="a,a-recompute,b,c", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wait", type=float, default=0, help="seconds to wait at most for others to be done")
    parser.add_argument("--graft", type=Path, default=target / "release" / "graft-peer")
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    arguments = parser.parse_args()
    if not arguments.graft.exists():
        sys.exit(f"build it first (cargo build --release --workspace --bin graft-peer): {arguments.graft}")
    machine = {"cpu": processor(), "cores": os.cpu_count()}
    print(f"{machine['cpu']}, {machine['cores']} cores; {arguments.rounds} rounds")
    found = {}
    for name in arguments.cases.split(","):
        if name not in CASES:
            sys.exit(f"there is no case `{name}`; there are {', '.join(CASES)}")
        found[name] = measure(CASES[name], arguments.graft, arguments.rounds, arguments.wait)
        tell(name, found[name])
        if arguments.out:
            arguments.out.write_text(json.dumps({"machine": machine, "cases": found}, indent=1) + "\n")
    versions = next(iter(found.values()))["versions"]
    print("\n" + ", ".join(f"{name} {version}" for name, version in versions.items()))


if __name__ == "__main__":
    main()
