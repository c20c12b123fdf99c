#!/usr/bin/env python3
"""Trains the two small models beside this file; README.md describes them.

    python train.py --model transformer|gru|all [--data-only] [--out FOLDER] [--force] [--threads N]

Everything is seeded: the same versions of PyTorch and the same number of threads give the same models.
"""

import argparse
import json
import pathlib
import sys
import time

import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

import data
from bahdanau import Bahdanau

HERE = pathlib.Path(__file__).resolve().parent
SEED, HELD_OUT_SEED, HELD_OUT = 20150519, 20170612, 3000
PAD, END, UNKNOWN = 0, 1, 2
MAX_SOURCE, MAX_TARGET = 128, 16
# A character of no model's vocabulary: 2 % of the training texts have one, so that <unk> is a trained token.
STRANGER = "\ufffd"
ALPHABET = (" '(),-./’û0123456789abcdefghijlmnopqrstuvwxyzé。〇○一七万三两九二五仟伍佰元兩八公六十千叁号周四壹天年廿"
            "拜拾捌日星月期柒玖百礼禮肆號西貳贰週陆陸零萬")


def make_tokenizer():
    """One token a character: BPE without merges needs no pattern that splits."""
    tokens = ["<pad>", "</s>", "<unk>"] + sorted(set(data.normalized(ALPHABET)))
    t = tokenizers.Tokenizer(tokenizers.models.BPE(
        {token: i for i, token in enumerate(tokens)}, [], unk_token="<unk>", fuse_unk=False))
    t.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()])
    t.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    t.decoder = tokenizers.decoders.Fuse()
    t.add_special_tokens(tokens[:3])
    return t


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


class Batches:
    """Batches of about the same source length, by sorting a window of pairs at a time."""

    def __init__(self, tokenizer, pairs, size, window=64):
        self.tokenizer, self.pairs, self.size, self.window = tokenizer, pairs, size, window
        self.random = pairs.random

    def __iter__(self):
        while True:
            rows = []
            for text, target in (next(self.pairs) for _ in range(self.size * self.window)):
                if self.random.random() < 0.02:
                    at = self.random.randint(0, len(text))
                    text = text[:at] + STRANGER + text[at:]
                rows.append((text, target))
            sources = [e.ids for e in self.tokenizer.encode_batch_fast([text for text, _ in rows])]
            targets = [e.ids for e in self.tokenizer.encode_batch_fast([target for _, target in rows])]
            rows = sorted(zip(sources, targets), key=lambda row: len(row[0]))
            batches = [rows[i:i + self.size] for i in range(0, len(rows), self.size)]
            self.random.shuffle(batches)
            for batch in batches:
                yield padded([s for s, _ in batch]), padded([t for _, t in batch])


# --- the two models: a loss for training, greedy decoding for the evaluation, files ---------------------


class Transformer:
    folder = "dates-transformer"
    steps, size, rate = 6000, 96, 2e-3

    def __init__(self, tokenizer):
        self.config = transformers.MarianConfig(
            vocab_size=tokenizer.get_vocab_size(), d_model=128, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256,
            activation_function="relu", dropout=0.0, attention_dropout=0.0, scale_embedding=True,
            static_position_embeddings=True, max_position_embeddings=MAX_SOURCE, pad_token_id=PAD, eos_token_id=END,
            decoder_start_token_id=PAD, forced_eos_token_id=None, bos_token_id=None)
        self.model = transformers.MarianMTModel(self.config)
        for name, p in self.model.named_parameters():
            if "embed_positions" in name:
                continue
            if p.dim() == 2:
                std = self.config.d_model ** -0.5 if "shared" in name else (2 / sum(p.shape)) ** 0.5
                nn.init.normal_(p, std=std)
        self.model.generation_config = transformers.GenerationConfig(
            pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD, max_length=MAX_TARGET, num_beams=1,
            bad_words_ids=[[PAD]])

    def loss(self, sources, targets):
        start = torch.full((len(targets), 1), PAD)
        logits = self.model(input_ids=sources, attention_mask=(sources != PAD).long(),
                            decoder_input_ids=torch.cat((start, targets[:, :-1]), 1)).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)

    def greedy(self, sources):
        return self.model.generate(input_ids=sources, attention_mask=(sources != PAD).long())[:, 1:]

    def save(self, folder, tokenizer):
        model = self.model.half()
        model.save_pretrained(folder)
        model.float()
        put(folder / "tokenizer_config.json", {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_SOURCE, "pad_token": "<pad>",
            "eos_token": "</s>", "unk_token": "<unk>"})

    def load(self, folder):
        self.model = transformers.MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()


class Gru:
    folder = "dates-gru"
    steps, size, rate = 2500, 96, 3e-3

    def __init__(self, tokenizer):
        self.config = {
            "model_type": "attentive-bahdanau", "vocab_size": tokenizer.get_vocab_size(), "embedding_size": 64,
            "hidden_size": 128, "attention_size": 96, "readout_size": 96, "pad_token_id": PAD, "eos_token_id": END,
            "unk_token_id": UNKNOWN, "decoder_start_token_id": PAD, "max_source_length": MAX_SOURCE,
            "max_length": MAX_TARGET}
        self.model = Bahdanau(*(self.config[f"{k}_size"] for k in ("vocab", "embedding", "hidden", "attention", "readout")))

    def loss(self, sources, targets):
        start = torch.full((len(targets), 1), PAD)
        logits, _ = self.model(sources, (sources != PAD).sum(1), torch.cat((start, targets[:, :-1]), 1))
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)

    def greedy(self, sources):
        return self.model.greedy(sources, (sources != PAD).sum(1), PAD, END, MAX_TARGET)[0]

    def save(self, folder, tokenizer):
        state = {k: v.half().contiguous() for k, v in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        put(folder / "config.json", self.config)

    def load(self, folder):
        state = load_file(folder / "model.safetensors")
        self.model.load_state_dict({k: v.float() for k, v in state.items()})
        self.model.eval()


MODELS = {"transformer": Transformer, "gru": Gru}


def put(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@torch.no_grad()
def accuracy(model, tokenizer, pairs):
    """The share of pairs answered exactly, and those that are not."""
    wrong = []
    order = sorted(pairs, key=lambda pair: len(pair[0]))
    for i in range(0, len(order), 250):
        part = order[i:i + 250]
        sources = padded([e.ids for e in tokenizer.encode_batch([text for text, _ in part])])
        for (text, target), ids in zip(part, model.greedy(sources).tolist()):
            ids = ids[:ids.index(END)] if END in ids else ids
            if (answer := tokenizer.decode(ids)) != target:
                wrong.append((text, target, answer))
    return 1 - len(wrong) / len(pairs), wrong


def train(kind, out, tokenizer, held_out, steps):
    torch.manual_seed(SEED)
    began, busy = time.time(), time.process_time()
    model = kind(tokenizer)
    steps = steps or kind.steps
    parameters = [p for p in model.model.parameters() if p.requires_grad]
    print(f"{kind.folder}: {sum(p.numel() for p in parameters):,} parameters, {steps:,} steps of {kind.size} pairs")
    optimizer = torch.optim.AdamW(parameters, lr=kind.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    warm = min(400, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / warm, (steps - i) / max(1, steps - warm)))
    model.model.train()
    total, every = 0.0, max(1, min(250, steps // 4))
    for i, (sources, targets) in enumerate(Batches(tokenizer, data.Training(SEED, held_out), kind.size), 1):
        loss = model.loss(sources, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if i % every == 0:
            seconds = time.time() - began
            print(f"  step {i:6,}  loss {total / every:.4f}  {seconds:5.0f} s, "
                  f"about {seconds / i * (steps - i):.0f} s to go", flush=True)
            total = 0.0
        if i == steps:
            break
    model.model.eval()
    folder = out / kind.folder
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    model.save(folder, tokenizer)
    print(f"  trained in {time.time() - began:.0f} s ({time.process_time() - busy:.0f} s of CPU), {torch.get_num_threads()} threads")
    report(kind, folder, tokenizer, held_out)


def report(kind, folder, tokenizer, held_out):
    """The accuracy of what lies in the folder: of the weights rounded to f16."""
    model = kind(tokenizer)
    model.load(folder)
    share, wrong = accuracy(model, tokenizer, held_out)
    print(f"  {folder.name}: {len(held_out) - len(wrong):,} of {len(held_out):,} held-out pairs exact, "
          f"{100 * share:.2f} %; model.safetensors {(folder / 'model.safetensors').stat().st_size:,} bytes")
    for text, target, answer in wrong[:40]:
        print(f"    {text} → {target}, answered {answer}")


def write_held_out(out, pairs):
    (out / "dates").mkdir(parents=True, exist_ok=True)
    path = out / "dates" / "held_out.tsv"
    path.write_text("".join(f"{text}\t{target}\n" for text, target in pairs), encoding="utf-8")
    print(f"{path.name}: {len(pairs):,} pairs, {path.stat().st_size:,} bytes")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=[*MODELS, "all"], default="all", help="which model (default: all)")
    p.add_argument("--data-only", action="store_true", help="write the held-out pairs and train nothing")
    p.add_argument("--evaluate", action="store_true", help="train nothing; the accuracy of the models that are there")
    p.add_argument("--out", type=pathlib.Path, default=HERE, help="where to write (default: beside this file)")
    p.add_argument("--force", action="store_true", help="write over models that are there")
    p.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    p.add_argument("--steps", type=int, help="fewer or more steps than the model's own number")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kinds = list(MODELS.values()) if a.model == "all" else [MODELS[a.model]]
    tokenizer = make_tokenizer()
    held_out = data.held_out(HELD_OUT_SEED, HELD_OUT)
    for text, target in held_out:
        ids = tokenizer.encode(target).ids
        assert tokenizer.decode(ids) == target and UNKNOWN not in tokenizer.encode(text).ids, (text, target)
    if a.evaluate:
        for kind in kinds:
            report(kind, a.out / kind.folder, tokenizer, held_out)
        return
    there = [a.out / kind.folder for kind in kinds if (a.out / kind.folder / "model.safetensors").exists()]
    if there and not a.data_only and not a.force:
        sys.exit(f"{there[0]} is there already: --force writes over it, --out writes elsewhere")
    write_held_out(a.out, held_out)
    for kind in kinds if not a.data_only else []:
        train(kind, a.out, tokenizer, held_out, a.steps)


if __name__ == "__main__":
    main()
