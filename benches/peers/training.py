#!/usr/bin/env python3
"""A step of training beside PyTorch, on the same cores: the Transformer of written dates, its loss, gradients, clipping and AdamW.

    cargo build --release --example training_step
    python benches/peers/training.py [--device cpu] [--threads 2 1] [--pairs 96] [--source 32] [--target 11] [--rounds 3]

Programs run one after the other in turns, each the given number of times, and each takes several steps of which the first
is left out: medians over all others, and quartiles. With fewer threads than cores each program is kept to so many cores. Processor
time is that of all threads of the program; other programs on the machine disturb it less than the wall time.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEPS = 6
ROOT = Path(__file__).parents[2]
LINE = re.compile(r"call (\d+), .*: ([\d.]+) ms, processor ([\d.]+) ms")


def torch_steps(config, pairs, source, target, threads):
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = MarianMTModel(MarianConfig.from_json_file(config)).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    start = torch.full((pairs, 1), model.config.decoder_start_token_id)
    for step in range(1, STEPS + 1):
        sources, targets = (torch.randint(5, 95, (pairs, length)) for length in (source, target))
        wall, processor = time.perf_counter(), time.process_time()
        logits = model(input_ids=sources, attention_mask=torch.ones_like(sources),
                       decoder_input_ids=torch.cat((start, targets[:, :-1]), 1)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        value = loss.item()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"call {step}, loss {value:.4f}: {wall * 1e3:.1f} ms, processor {processor * 1e3:.0f} ms", flush=True)


def run(command, threads):
    """Milliseconds (wall, processor) of every step but the first."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    program = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    if program.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")
    return [(float(wall), float(processor)) for call, wall, processor in LINE.findall(program.stdout) if int(call) > 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="attentive's")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--source", type=int, default=32, help="tokens of a source")
    parser.add_argument("--target", type=int, default=11, help="tokens of a target")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", default=ROOT / "models/dates-transformer/config.json", help="of a Marian folder")
    parser.add_argument("--program", default=ROOT / "target/release/examples/training_step")
    parser.add_argument("--torch", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [given.pairs, given.source, given.target]
    if given.torch:
        return torch_steps(given.config, *sizes, given.torch)
    programs = {}
    for threads in given.threads:
        options = [f"--{name}={size}" for name, size in zip(("pairs", "source", "target"), sizes)]
        programs["PyTorch", threads] = [sys.executable, __file__, f"--torch={threads}", f"--config={given.config}", *options]
        programs[f"attentive {given.device}", threads] = [
            str(given.program), str(given.config), given.device, str(STEPS), *map(str, sizes)]
    steps = {key: [] for key in programs}
    for _ in range(given.rounds):
        for (name, threads), command in programs.items():
            steps[name, threads] += run(command, threads)
    print(f"{given.pairs} × ({given.source}, {given.target}) tokens, milliseconds a step: median (quartiles) of "
          f"{given.rounds * (STEPS - 1)}")
    print("| | threads | wall | processor | wall against PyTorch | processor against PyTorch |")
    print("|---|---|---|---|---|---|")
    for (name, threads), taken in steps.items():
        columns, base = ([statistics.quantiles(column, n=4, method="inclusive") for column in zip(*all_of)]
                         for all_of in (taken, steps["PyTorch", threads]))
        cells = [f"{median:.0f} ({low:.0f}–{high:.0f})" for low, median, high in columns]
        ratios = [f"{column[1] / first[1]:.2f}" for column, first in zip(columns, base)]
        print(f"| {name} | {threads} | {' | '.join(cells + ratios)} |")


if __name__ == "__main__":
    main()
