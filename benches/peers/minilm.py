#!/usr/bin/env python3
"""MiniLM end to end beside PyTorch's BertModel, on the same cores: all-MiniLM-L6-v2's forward pass, mean pooling, L2.

    cargo build --release --example second_call
    python benches/peers/minilm.py MODEL_FOLDER [--devices cpu auto] [--texts 32] [--tokens 128] [--rounds 5]

Programs run one after the other in turns, each the given number of times, and each makes several calls of which the first
is left out: medians over all others, and quartiles. Processor time is that of all threads of the program, the driver's too;
other programs on the machine disturb it less than the wall time. Memory is the program's most (the interpreter and PyTorch's
libraries are in PyTorch's).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

CALLS = 4
LINE = re.compile(r"call (\d+), .*: ([\d.]+) ms, processor ([\d.]+) ms")


def torch_calls(model, texts, tokens, threads):
    import torch
    from tokenizers import Tokenizer
    from transformers import BertModel

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    bert = BertModel.from_pretrained(model).eval()
    # With [CLS] and [SEP] as many tokens as asked for.
    ids = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    ids.no_padding()
    ids = torch.tensor([ids.encode(" ".join(["word"] * (tokens - 2))).ids] * texts)
    assert ids.shape == (texts, tokens), ids.shape
    mask = torch.ones_like(ids)
    for call in range(1, CALLS + 1):
        wall, processor = time.perf_counter(), time.process_time()
        hidden = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        torch.nn.functional.normalize(pooled, dim=1)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"call {call}, {ids.numel()} tokens: {wall * 1e3:.1f} ms, processor {processor * 1e3:.0f} ms", flush=True)


def run(command):
    """Milliseconds (wall, processor) of every call but the first, and the most KiB of memory."""
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = program.stdout.read()
    _, status, usage = os.wait4(program.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} failed")
    calls = [(float(wall), float(processor)) for call, wall, processor in LINE.findall(output) if int(call) > 1]
    return calls, usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--devices", nargs="+", default=["cpu", "auto"], help="devices of attentive")
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="PyTorch's")
    parser.add_argument("--program", default=Path(__file__).parents[2] / "target/release/examples/second_call")
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.torch:
        return torch_calls(given.model, given.texts, given.tokens, given.threads)
    sizes = [str(given.texts), str(given.tokens - 2), str(CALLS)]
    commands = {"PyTorch": [sys.executable, __file__, given.model, "--torch", "--texts", str(given.texts),
                            "--tokens", str(given.tokens), "--threads", str(given.threads)]}
    for device in given.devices:
        commands[f"attentive {device}"] = [str(given.program), given.model, device, *sizes]
    calls, memory = {name: [] for name in commands}, {name: 0 for name in commands}
    for _ in range(given.rounds):
        for name, command in commands.items():
            more, most = run(command)
            calls[name] += more
            memory[name] = max(memory[name], most)
    print(f"{given.texts} × {given.tokens} tokens, milliseconds: median (quartiles) of {given.rounds * (CALLS - 1)} calls")
    print("| | wall | processor | wall against PyTorch | processor against PyTorch | most memory, MiB |")
    print("|---|---|---|---|---|---|")
    base = None
    for name in commands:
        columns = [statistics.quantiles(column, n=4, method="inclusive") for column in zip(*calls[name])]
        base = base or columns
        cells = [f"{median:.0f} ({low:.0f}–{high:.0f})" for low, median, high in columns]
        ratios = [f"{column[1] / first[1]:.2f}" for column, first in zip(columns, base)]
        print(f"| {name} | {' | '.join(cells + ratios)} | {memory[name] / 1024:.0f} |")


if __name__ == "__main__":
    main()
