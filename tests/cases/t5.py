#!/usr/bin/env python3
"""Writes the cases of T5's attention into the folder t5 beside this file; README.md describes them.

    python t5.py [--out FOLDER]

Answers are those of transformers' T5Attention in f64, with which a few lines of our own must agree, rounded once.
"""

import argparse
import math
import pathlib
import warnings

import torch
import transformers
from transformers import T5Config
from transformers.cache_utils import DynamicCache
from transformers.models.t5.modeling_t5 import T5Attention

import pytorch
from pytorch import HERE, LAYER_ATOL, RTOL, Cases, agree, causal, f64, lengths_mask, normal, seeded, softmax

pytorch.SOURCE = f"transformers {transformers.__version__} tests/cases/t5.py"


def bucket(distance, bidirectional, buckets, farthest):
    """Raffel et al. 2020, section 2.1, one distance at a time; the logarithm in f32, as in the original."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = -abs(distance)
    steps, exact = max(-distance, 0), buckets // 2
    if steps < exact:
        return first + steps
    part = torch.log(torch.tensor(steps, dtype=torch.float32) / exact) / math.log(farthest / exact)
    return first + min(exact + int(part * (buckets - exact)), buckets - 1)


def own(m, t, config, past):
    heads = lambda x: x.unflatten(-1, (config.num_heads, -1)).transpose(1, 2)
    source = t.get("key_value_states", t["hidden_states"])
    q, k, v = heads(m.q(t["hidden_states"])), heads(m.k(source)), heads(m.v(source))
    if past:
        k, v = torch.cat([t["past_key"], k], 2), torch.cat([t["past_value"], v], 2)
    queries, keys = q.shape[2], k.shape[2]
    bias = torch.zeros(1, config.num_heads, queries, keys).to(q)
    if m.has_relative_attention_bias:
        for i in range(queries):
            for j in range(keys):
                place = bucket(j - i - past, not config.is_decoder, config.relative_attention_num_buckets,
                               config.relative_attention_max_distance)
                bias[0, :, i, j] = m.relative_attention_bias.weight[place]
    scores = q @ k.transpose(-1, -2) + bias + t.get("mask", torch.zeros(1)).to(q)
    return m.o((softmax(scores) @ v).transpose(1, 2).flatten(2)), bias


def make(cases):
    def one(name, b, queries, *, keys=None, past=0, bias=True, decoder=False, d=24, kv=6, heads=4, buckets=32,
            farthest=128, masks=None):
        g = seeded("t5_" + name)
        config = T5Config(d_model=d, d_kv=kv, num_heads=heads, relative_attention_num_buckets=buckets,
                          relative_attention_max_distance=farthest, is_decoder=decoder, dropout_rate=0.0)
        config._attn_implementation = "eager"
        m = T5Attention(config, has_relative_attention_bias=bias, layer_idx=0).eval()
        for parameter_name, p in m.named_parameters():
            # T5 does not scale its scores: its queries' weights are small instead.
            std = kv ** -0.25 * d ** -0.5 if parameter_name[0] in "qk" else 1.0 if "bias" in parameter_name else d ** -0.5
            p.data = normal(g, *p.shape, std=std)
        inputs = {"hidden_states": normal(g, b, queries, d)}
        if keys:
            inputs["key_value_states"] = normal(g, b, keys, d)
        if past:
            inputs |= {"past_key": normal(g, b, heads, past, kv, std=kv ** -0.25), "past_value": normal(g, b, heads, past, kv)}
        if masks:
            inputs["mask"] = masks(keys or past + queries)

        def theirs(t, m):
            cache = None
            if past:
                cache = DynamicCache()
                cache.update(t["past_key"], t["past_value"], 0)
            return m(t["hidden_states"], mask=t.get("mask"), key_value_states=t.get("key_value_states"),
                     past_key_values=cache)[0]

        state = {k: v.clone() for k, v in m.state_dict().items()}
        f32 = {"out": theirs(inputs, m)}
        m, wide = m.double(), f64(inputs)
        out, position_bias = own(m, wide, config, past)
        answers = {"out": agree(name, out, theirs(wide, m))}
        if bias:
            answers["position_bias"] = agree(
                name, position_bias, m.compute_bias(queries, keys or past + queries, past_seen_tokens=past))
        attributes = {"d_model": d, "d_kv": kv, "num_heads": heads, "relative_attention_num_buckets": buckets,
                      "relative_attention_max_distance": farthest, "is_decoder": decoder}
        cases.write(name, "T5Attention", attributes, inputs, answers, f32, RTOL, LAYER_ATOL, state)

    added = lambda masked: torch.zeros(masked.shape).masked_fill(masked, -math.inf)
    step = lambda queries: lambda keys: added(causal(keys, keys)[keys - queries:])[None, None]
    one("encoder", 2, 9)
    # Farther than the last bucket's begin.
    one("encoder_long", 1, 140, d=16, kv=4, heads=1)
    one("encoder_padding", 3, 12, masks=lambda keys: added(lengths_mask([12, 7, 1], 12))[:, None, None])
    one("encoder_few_buckets", 2, 40, heads=2, kv=8, buckets=8, farthest=20)
    one("decoder_causal", 2, 11, decoder=True, masks=step(11))
    one("decoder_long", 1, 140, decoder=True, d=16, kv=4, heads=1, masks=step(140))
    one("decoder_odd_buckets", 1, 70, decoder=True, d=16, kv=4, heads=2, buckets=13, farthest=50, masks=step(70))
    one("decoder_step", 2, 1, past=10, decoder=True)
    one("decoder_step_far", 1, 1, past=140, decoder=True, d=16, kv=4, heads=2)
    one("decoder_three_more", 2, 3, past=6, decoder=True, masks=step(3))
    one("cross", 2, 5, keys=8, bias=False, decoder=True, masks=lambda keys: added(lengths_mask([8, 3], 8))[:, None, None])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE / "t5", help="where to write (default: %(default)s)")
    out = p.parse_args().out
    warnings.filterwarnings("ignore")
    with torch.no_grad():
        make(Cases(out))
    print(f"{sum(path.stat().st_size for path in out.iterdir())} bytes in {len(list(out.iterdir()))} files")


if __name__ == "__main__":
    main()
