#!/usr/bin/env python3
"""Writes the PyTorch cases into the folder pytorch beside this file; README.md describes them.

    python pytorch.py [--out FOLDER]

Inputs and weights are drawn in f32; answers are computed from them in f64 and rounded once. Each case has
its own seed, made from its name, so that adding a case changes no other file.
"""

import argparse
import functools
import math
import pathlib
import shutil
import sys
import warnings
import zlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples"))
import make_case
from make_case import write_case

SOURCE = f"torch {torch.__version__.split('+')[0]} tests/cases/pytorch.py"

# u = 2^-24. The longest sums here have 131 terms of products of size ~1, so f32 errs by about
# sqrt(131)·u ≈ 7e-7 of their scale (3 to 10 before a norm): a few 1e-6 where terms cancel. PyTorch's own
# f32 is measured for each case and must stay within a QUARTER of the tolerance, which leaves room for any
# other order of summation; a wrong element is off by 1e-2 or more.
RTOL, ATOL, QUARTER = 1e-5, 2e-6, 0.25
LAYER_ATOL = 4e-6  # two norms, a feed-forward and up to two layers behind one another


def seeded(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def normal(g, *shape, std=1.0, mean=0.0):
    return torch.randn(*shape, generator=g) * std + mean


def f64(tensors):
    return {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}


def randomise(module, g):
    """Large enough that each weight and each bias shows in the answer."""
    for name, p in module.named_parameters():
        if "norm" in name.lower():
            p.data = normal(g, *p.shape, std=0.2, mean=1.0 if name.endswith("weight") else 0.0)
        elif p.dim() == 1:
            p.data = normal(g, *p.shape, std=0.3)
        else:
            p.data = normal(g, *p.shape, std=p.shape[1] ** -0.5)


def used(got, want, rtol, atol):
    """The largest part of the tolerance that `got` uses; not finite if they differ in NaN."""
    got, want = got.double(), want.double()
    return float(((got - want).abs() / (atol + rtol * want.abs())).max()) if want.numel() else 0.0


class Cases:
    def __init__(self, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)

    def write(self, name, op, attributes, inputs, expected, f32, rtol, atol, state=None, note=None):
        expected = {k: v.to(next(iter(inputs.values())).dtype) for k, v in expected.items()}
        assert all(torch.isfinite(v).all() for v in expected.values()), name
        share = max(used(f32[k], v, rtol, atol) for k, v in expected.items() if f32.get(k) is not None)
        # Rounding f32 to f16 or bf16 may land on the neighbour, which is the whole tolerance there.
        half = any(v.dtype in (torch.float16, torch.bfloat16) for v in inputs.values())
        assert share <= (1.0 if half else QUARTER), (name, share)
        path = self.folder / f"{name}.safetensors"
        write_case(path, op, inputs, expected, attributes, state, rtol, atol, SOURCE + (f"; {note}" if note else ""))
        print(f"  {path.stat().st_size:7} {name}: PyTorch f32 uses {share:.3f} of the tolerance")


# --- attention ---------------------------------------------------------------------------------------


def as_bias(mask, true_takes_part):
    """A mask as what is added to the scores."""
    if mask.dtype != torch.bool:
        return mask.double()
    keep = mask if true_takes_part else ~mask
    return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~keep, -math.inf)


def softmax(scores):
    """A fully masked row gives 0, where PyTorch gives NaN or 0 by version and path."""
    top = scores.amax(-1, keepdim=True)
    e = torch.exp(scores - torch.where(top == -math.inf, torch.zeros_like(top), top))
    s = e.sum(-1, keepdim=True)
    return torch.where(s == 0, torch.zeros_like(e), e / s)


def own_sdpa(query, key, value, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    if attn_mask is not None:
        scores = scores + as_bias(attn_mask, true_takes_part=True)
    return softmax(scores) @ value


def own_mha(m, query, key, value, key_padding_mask=None, attn_mask=None, average_attn_weights=True):
    e, h = m.embed_dim, m.num_heads
    if m.in_proj_weight is not None:
        ws = m.in_proj_weight.chunk(3)
    else:
        ws = (m.q_proj_weight, m.k_proj_weight, m.v_proj_weight)
    bs = m.in_proj_bias.chunk(3) if m.in_proj_bias is not None else (None,) * 3
    heads = lambda x: x.unflatten(-1, (h, e // h)).transpose(1, 2)
    q, k, v = (nn.functional.linear(x, w, b) for x, w, b in zip((query, key, value), ws, bs))
    # Keys that are no input's: a trained one, and one of zeros. No mask is for them.
    extra = [(m.bias_k, m.bias_v)] if m.bias_k is not None else []
    extra += [(torch.zeros(1, 1, e), torch.zeros(1, 1, e))] if m.add_zero_attn else []
    for bias_k, bias_v in extra:
        k, v = (torch.cat([x, more.to(x).expand(len(x), 1, e)], 1) for x, more in ((k, bias_k), (v, bias_v)))
    beyond = lambda bias: nn.functional.pad(bias, (0, len(extra)))
    q, k, v = heads(q), heads(k), heads(v)
    scores = q @ k.transpose(-1, -2) * (e // h) ** -0.5
    if attn_mask is not None:
        mask = attn_mask.unflatten(0, (-1, h)) if attn_mask.dim() == 3 else attn_mask
        scores = scores + beyond(as_bias(mask, true_takes_part=False))
    if key_padding_mask is not None:
        scores = scores + beyond(as_bias(key_padding_mask, true_takes_part=False)[:, None, None])
    w = softmax(scores)
    out = m.out_proj((w @ v).transpose(1, 2).flatten(2))
    return out, w.mean(1) if average_attn_weights else w


def agree(name, own, torchs, row_masked=False):
    """Ours, once PyTorch says the same in f64; it may have NaN only where a case masks whole rows."""
    nan = torch.isnan(torchs)
    assert row_masked or not nan.any(), name
    gap = float((own - torchs)[~nan].abs().max())
    assert gap < 1e-12, (name, gap)
    return own


def bites(name, with_it, without_it):
    """A mask that changes nothing would test nothing."""
    assert float((with_it - without_it).abs().max()) > 1e-2, name


def lengths_mask(lengths, size):
    """True is padding."""
    return torch.arange(size)[None] >= torch.tensor(lengths)[:, None]


def causal(l, s):
    return torch.ones(l, s, dtype=torch.bool).triu(1)


LARGEST = torch.finfo(torch.float32).max


def low(out, number=-LARGEST):
    """As a float mask of a finite number, which rules nothing out."""
    return torch.zeros(out.shape).masked_fill(out, number)


def left_padding(lengths, size):
    return lengths_mask(lengths, size).flip(-1)


def make_mha(cases):
    def one(name, b, lq, lk, e, h, *, kdim=None, vdim=None, bias=True, average=True, same=False, masks=None,
            spread=1.0, note=None, **more):
        g = seeded("mha_" + name)
        attributes = {"embed_dim": e, "num_heads": h, "batch_first": True, "average_attn_weights": average}
        if not bias:
            attributes["bias"] = False
        if kdim or vdim:
            attributes |= {"kdim": kdim or e, "vdim": vdim or e}
        attributes |= more
        arguments = {k: v for k, v in attributes.items() if k != "average_attn_weights"}
        m = nn.MultiheadAttention(**arguments).eval()
        randomise(m, g)
        if m.bias_k is not None:
            m.bias_k.data, m.bias_v.data = normal(g, 1, 1, e), normal(g, 1, 1, e)
        query = normal(g, b, lq, e, std=spread)
        key = query if same else normal(g, b, lk, kdim or e, std=spread)
        value = query if same else normal(g, b, lk, vdim or e)
        extra = masks(g) if masks else {}
        inputs = {"query": query, "key": key, "value": value} | extra
        state = {k: v.clone() for k, v in m.state_dict().items()}
        f32 = m(**inputs, average_attn_weights=average)
        m = m.double()
        wide = f64(inputs)
        own = own_mha(m, **wide, average_attn_weights=average)
        answer = [agree(name, o, t, bool(note)) for o, t in zip(own, m(**wide, average_attn_weights=average))]
        for k in extra:
            bites((name, k), own[0], own_mha(m, **{n: t for n, t in wide.items() if n != k})[0])
        names = ("attn_output", "attn_output_weights")
        f32 = {k: torch.where(torch.isnan(x), a.float(), x) for k, x, a in zip(names, f32, answer)}
        cases.write("mha_" + name, "MultiheadAttention", attributes, inputs, dict(zip(names, answer)), f32,
                    RTOL, ATOL, state, note)

    one("self", 2, 7, 7, 24, 3, same=True)
    one("self_per_head", 2, 5, 5, 24, 3, same=True, average=False)
    one("self_64x4", 1, 11, 11, 64, 4, same=True)
    one("head_dim_21", 1, 6, 9, 42, 2, average=False)
    one("head_dim_1", 2, 5, 6, 4, 4, average=False)
    one("one_head_one_key", 2, 3, 1, 16, 1)
    one("cross_kdim_vdim", 2, 5, 8, 24, 3, kdim=20, vdim=14)
    one("cross_vdim_only", 2, 4, 6, 24, 3, vdim=32, bias=False, average=False)
    one("no_bias", 2, 6, 6, 24, 4, bias=False, same=True)
    one("key_padding", 3, 6, 9, 12, 3, masks=lambda g: {"key_padding_mask": lengths_mask([9, 4, 1], 9)})
    one("key_padding_holes", 2, 5, 9, 12, 3, average=False,
        masks=lambda g: {"key_padding_mask": torch.cat(
            [torch.rand(2, 8, generator=g) < 0.5, torch.zeros(2, 1, dtype=torch.bool)], 1)})
    one("key_padding_float", 2, 5, 7, 12, 3,
        masks=lambda g: {"key_padding_mask": normal(g, 2, 7).masked_fill(lengths_mask([7, 3], 7), -math.inf)})
    one("bool_mask_2d", 2, 5, 7, 12, 3,
        masks=lambda g: {"attn_mask": (torch.rand(5, 7, generator=g) < 0.4).index_fill(1, torch.tensor(2), False)})
    one("bool_mask_3d", 2, 5, 7, 12, 3, average=False,
        masks=lambda g: {"attn_mask": (torch.rand(6, 5, 7, generator=g) < 0.4).index_fill(2, torch.tensor(6), False)})
    one("float_mask_2d", 2, 5, 7, 12, 3, masks=lambda g: {"attn_mask": normal(g, 5, 7)})
    one("float_mask_3d", 2, 5, 7, 12, 3, average=False, masks=lambda g: {"attn_mask": normal(g, 6, 5, 7)})
    one("causal", 2, 9, 9, 12, 3, same=True, masks=lambda g: {"attn_mask": causal(9, 9)})
    one("causal_float_longer_keys", 1, 4, 11, 12, 3, average=False,
        masks=lambda g: {"attn_mask": torch.zeros(4, 11).masked_fill(causal(4, 11), -math.inf)})
    one("causal_and_padding", 2, 8, 8, 12, 3, same=True,
        masks=lambda g: {"attn_mask": causal(8, 8), "key_padding_mask": lengths_mask([8, 5], 8)})
    one("float_mask_and_padding", 2, 5, 7, 12, 3,
        masks=lambda g: {"attn_mask": normal(g, 6, 5, 7), "key_padding_mask": lengths_mask([2, 7], 7)})

    # The sum of both is −∞ in f32 and −6.8e38 in f64: no weight beside another score.
    one("finfo_min_causal_and_left_padding", 2, 6, 6, 12, 3, same=True, average=False, masks=lambda g: {
        "attn_mask": low(causal(6, 6)), "key_padding_mask": low(left_padding([6, 3], 6))})
    one("finfo_min_all_padding", 2, 4, 6, 12, 3, masks=lambda g: {"key_padding_mask": low(left_padding([4, 0], 6))})
    # Keys that are no input's, with every mask beside them; a batch of padding then sees them alone.
    one("bias_kv", 2, 6, 6, 24, 3, same=True, add_bias_kv=True)
    one("bias_kv_cross", 2, 5, 8, 24, 3, kdim=20, vdim=14, average=False, add_bias_kv=True)
    one("zero_attn", 2, 6, 6, 24, 3, same=True, average=False, add_zero_attn=True)
    one("zero_attn_no_bias", 3, 4, 7, 12, 3, bias=False, add_zero_attn=True)
    one("bias_kv_zero_attn_64x4", 1, 9, 9, 64, 4, same=True, add_bias_kv=True, add_zero_attn=True)
    one("bias_kv_causal", 2, 7, 7, 12, 3, same=True, add_bias_kv=True, masks=lambda g: {"attn_mask": causal(7, 7)})
    one("bias_kv_float_mask_3d", 2, 5, 7, 12, 3, average=False, add_bias_kv=True,
        masks=lambda g: {"attn_mask": normal(g, 6, 5, 7)})
    one("bias_kv_all_padding", 2, 4, 6, 12, 3, add_bias_kv=True, add_zero_attn=True,
        masks=lambda g: {"key_padding_mask": lengths_mask([4, 0], 6)})
    one("zero_attn_masks", 2, 5, 7, 12, 3, add_zero_attn=True, masks=lambda g: {
        "attn_mask": (torch.rand(5, 7, generator=g) < 0.4).index_fill(0, torch.tensor(3), True),
        "key_padding_mask": lengths_mask([7, 3], 7)})
    one("bias_kv_float_masks", 2, 5, 7, 12, 3, average=False, add_bias_kv=True, add_zero_attn=True, masks=lambda g: {
        "attn_mask": normal(g, 6, 5, 7), "key_padding_mask": normal(g, 2, 7).masked_fill(lengths_mask([7, 3], 7), -math.inf)})

    masked = "a fully masked row has weights 0 and the output out_proj.bias"
    one("row_masked", 2, 5, 7, 12, 3, average=False, note=masked, masks=lambda g: {
        "attn_mask": (torch.rand(5, 7, generator=g) < 0.3).index_fill(0, torch.tensor([1, 4]), True)})
    one("batch_all_padding", 2, 4, 6, 12, 3, note=masked,
        masks=lambda g: {"key_padding_mask": lengths_mask([4, 0], 6)})


def make_sdpa(cases):
    def one(name, q, k, v, *, mask=None, spread=1.0, dtype=torch.float32, rtol=RTOL, atol=ATOL, note=None,
            **attributes):
        g = seeded("sdpa_" + name)
        inputs = {"query": normal(g, *q, std=spread), "key": normal(g, *k), "value": normal(g, *v)}
        inputs = {n: t.to(dtype) for n, t in inputs.items()}
        if mask:
            inputs["attn_mask"] = mask(g)
            if inputs["attn_mask"].is_floating_point():
                inputs["attn_mask"] = inputs["attn_mask"].to(dtype)
        wide = f64(inputs)
        theirs = nn.functional.scaled_dot_product_attention
        own = agree(name, own_sdpa(**wide, **attributes), theirs(**wide, **attributes), "row" in name)
        if mask:
            bites(name, own, own_sdpa(*list(wide.values())[:3], **attributes))
        if attributes.get("is_causal"):
            bites(name, own, own_sdpa(*wide.values()))
        single = {n: t.float() if t.is_floating_point() else t for n, t in inputs.items()}
        f32 = theirs(**single, **attributes).nan_to_num(0.0).to(dtype)
        cases.write("sdpa_" + name, "scaled_dot_product_attention", attributes, inputs, {"out": own},
                    {"out": f32}, rtol, atol, note=note)

    def keep(*shape, first=True):
        """Random, and key 0 always takes part, so that no row is fully masked by accident."""
        def mask(g):
            m = torch.rand(*shape, generator=g) < 0.6
            return m.index_fill(-1, torch.tensor(0), True) if first else m
        return mask

    one("plain", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8))
    one("dv_larger", (2, 2, 5, 8), (2, 2, 7, 8), (2, 2, 7, 13))
    one("dv_smaller_scale", (1, 2, 5, 21), (1, 2, 6, 21), (1, 2, 6, 3), scale=0.3)
    one("causal_square", (2, 2, 9, 8), (2, 2, 9, 8), (2, 2, 9, 8), is_causal=True)
    one("causal_more_keys", (1, 2, 4, 8), (1, 2, 11, 8), (1, 2, 11, 5), is_causal=True)
    one("causal_more_queries", (1, 2, 11, 8), (1, 2, 4, 8), (1, 2, 4, 8), is_causal=True)
    one("past_tiles", (1, 1, 70, 12), (1, 1, 131, 12), (1, 1, 131, 12))
    one("past_tiles_causal", (1, 1, 131, 12), (1, 1, 131, 12), (1, 1, 131, 12), is_causal=True)
    one("large_scores", (1, 2, 9, 16), (1, 2, 33, 16), (1, 2, 33, 16), spread=16.0, rtol=1e-4, atol=2e-5,
        note="scores to ±60, whose f32 error exp makes relative: wider tolerance")
    one("three_dims", (3, 5, 8), (3, 7, 8), (3, 7, 8))
    one("gqa", (2, 6, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8), enable_gqa=True)
    one("bool_2d", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=keep(5, 7))
    one("bool_broadcast_batch_keys", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=keep(2, 1, 1, 7))
    one("bool_broadcast_heads", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=keep(1, 3, 5, 7))
    one("bool_4d", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=keep(2, 3, 5, 7))
    one("float_2d", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: normal(g, 5, 7, std=2.0))
    one("float_broadcast_queries", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8),
        mask=lambda g: normal(g, 2, 3, 1, 7, std=2.0))
    one("float_infinite", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8),
        mask=lambda g: normal(g, 3, 5, 7).masked_fill(~keep(3, 5, 7)(g), -math.inf))
    rows = lambda g: keep(5, 7)(g).index_fill(0, torch.tensor([0, 3]), False)
    one("bool_row_masked", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=rows, note="a fully masked row gives 0")
    one("float_row_masked", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), note="a fully masked row gives 0",
        mask=lambda g: torch.zeros(5, 7).masked_fill(~rows(g), -math.inf))
    # Every finite number is a score: what has one for all keys gets the mean of the values.
    one("finfo_min", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: low(~rows(g)))
    one("minus_3.4e38", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: low(~rows(g), -3.4e38))
    one("finfo_max", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: low(~rows(g), LARGEST))
    one("finfo_min_beside_infinite", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8),
        mask=lambda g: low(~rows(g)).masked_fill(~keep(5, 7)(g), -math.inf))
    one("finfo_min_past_tiles", (1, 1, 70, 12), (1, 1, 131, 12), (1, 1, 131, 12), mask=lambda g: low(torch.cat(
        [torch.ones(70, 100, dtype=torch.bool), torch.arange(70)[:, None].expand(70, 31) % 2 == 0], 1)))
    one("f16_finfo_min", (2, 2, 5, 16), (2, 2, 19, 16), (2, 2, 19, 16), dtype=torch.float16, rtol=0.0, atol=4e-3,
        mask=lambda g: low(~keep(5, 19)(g).index_fill(0, torch.tensor([0, 3]), False), -65504.0),
        note="beside −65,504 f32 has scores to 2^-8: wider tolerance")
    # One unit in the last place: the f32 answer may round to the neighbour.
    one("f16", (2, 2, 5, 16), (2, 2, 19, 16), (2, 2, 19, 16), dtype=torch.float16, rtol=2**-10, atol=2**-20)
    one("bf16", (2, 2, 5, 16), (2, 2, 19, 16), (2, 2, 19, 16), dtype=torch.bfloat16, rtol=2**-7, atol=2**-20)
    one("f16_gqa_float_mask", (2, 4, 5, 9), (2, 2, 7, 9), (2, 2, 7, 9), dtype=torch.float16, rtol=2**-10, atol=2**-20,
        mask=lambda g: normal(g, 5, 7), enable_gqa=True)
    one("bf16_bool_mask_scale", (2, 2, 5, 16), (2, 2, 7, 16), (2, 2, 7, 16), dtype=torch.bfloat16, rtol=2**-7,
        atol=2**-20, mask=keep(2, 1, 5, 7), scale=0.5)
    one("bf16_causal", (1, 2, 9, 8), (1, 2, 9, 8), (1, 2, 9, 8), dtype=torch.bfloat16, rtol=2**-7, atol=2**-20,
        is_causal=True)


# --- encoder layers ------------------------------------------------------------------------------------------


def own_attention(a, x, memory, bias):
    """The definition; `bias` is added to the scores."""
    e, h = a.embed_dim, a.num_heads
    biases = a.in_proj_bias.chunk(3) if a.in_proj_bias is not None else (None,) * 3
    q, k, v = (nn.functional.linear(y, w, b).unflatten(-1, (h, e // h)).transpose(1, 2)
               for y, w, b in zip((x, memory, memory), a.in_proj_weight.chunk(3), biases))
    scores = q @ k.transpose(-1, -2) * (e // h) ** -0.5 + bias
    return a.out_proj((softmax(scores) @ v).transpose(1, 2).flatten(2))


def own_layer(m, x, blocks):
    """Each block with its residual, and its norm before or after."""
    norms = [getattr(m, f"norm{i + 1}") for i in range(len(blocks))]
    for norm, block in zip(norms, blocks):
        x = x + block(norm(x)) if m.norm_first else norm(x + block(x))
    return x


def own_encoder_layer(m, x, bias):
    return own_layer(m, x, [lambda y: own_attention(m.self_attn, y, y, bias),
                            lambda y: m.linear2(m.activation(m.linear1(y)))])


def own_decoder_layer(m, x, memory, bias, memory_bias):
    return own_layer(m, x, [lambda y: own_attention(m.self_attn, y, y, bias),
                            lambda y: own_attention(m.multihead_attn, y, memory, memory_bias),
                            lambda y: m.linear2(m.activation(m.linear1(y)))])


def bias_of(inputs, mask, padding, heads):
    """Both masks as what is added to the scores."""
    bias = torch.zeros(1, dtype=torch.float64)
    if mask in inputs:
        m = as_bias(inputs[mask], False)
        bias = bias + (m.unflatten(0, (-1, heads)) if m.dim() == 3 else m)
    if padding in inputs:
        bias = bias + as_bias(inputs[padding], False)[:, None, None]
    return bias


def activation_name(activation):
    """PyTorch's own two names, else that of the function or module."""
    return activation if isinstance(activation, str) else make_case.activation_name(activation)


def make_encoders(cases):
    def one(name, b, l, d, h, ff, *, masks=None, layers=None, final=None, **more):
        g = seeded("layer_" + name)
        attributes = {"d_model": d, "nhead": h, "dim_feedforward": ff, "dropout": 0.0, "batch_first": True} | more
        if "activation" in more:
            attributes["activation"] = activation_name(more["activation"])
        m = nn.TransformerEncoderLayer(**attributes | more)
        op, mask_name = "TransformerEncoderLayer", "src_mask"
        if layers:
            norm = nn.LayerNorm(d, eps=final) if final else None
            # Nested tensors would write 0 into padded positions, which the layers by themselves do not.
            m = nn.TransformerEncoder(m, layers, norm=norm, enable_nested_tensor=False)
            op, mask_name = "TransformerEncoder", "mask"
            attributes |= {"num_layers": layers} | ({"norm_eps": final} if final not in (None, 1e-5) else {})
        m = m.eval()
        randomise(m, g)
        src = normal(g, b, l, d)
        inputs = {"src": src} | {mask_name if k == "mask" else k: v for k, v in (masks(g) if masks else {}).items()}
        state = {k: v.clone() for k, v in m.state_dict().items()}
        f32 = m(**inputs)
        m = m.double()
        wide = f64(inputs)
        bias = bias_of(inputs, mask_name, "src_key_padding_mask", h)

        def run(bias):
            x = wide["src"]
            for layer in m.layers if layers else [m]:
                x = own_encoder_layer(layer, x, bias)
            return m.norm(x) if final else x

        own = run(bias)
        if masks:
            bites(name, own, run(torch.zeros_like(bias)))
        own = agree(name, own, m(**wide))
        prefix = "encoder_" if layers else "layer_"
        cases.write(prefix + name, op, attributes, inputs, {"out": own}, {"out": f32}, RTOL, LAYER_ATOL, state)

    padding = lambda lengths, l: lambda g: {"src_key_padding_mask": lengths_mask(lengths, l)}
    one("post_relu", 2, 7, 32, 4, 48, norm_first=False, activation="relu")
    one("post_gelu_padding", 3, 6, 24, 2, 32, activation="gelu", masks=padding([6, 3, 1], 6))
    one("pre_gelu", 2, 7, 24, 4, 32, norm_first=True, activation="gelu", layer_norm_eps=1e-12)
    one("pre_relu_no_bias", 2, 5, 24, 3, 40, norm_first=True, activation="relu", bias=False)
    one("post_gelu_64", 1, 9, 64, 4, 32, activation="gelu")
    one("pre_bool_mask", 2, 6, 24, 4, 32, norm_first=True, activation="gelu", masks=lambda g: {
        "mask": (torch.rand(8, 6, 6, generator=g) < 0.4).index_fill(2, torch.tensor(1), False)})
    one("post_float_mask_padding", 2, 6, 24, 4, 32, activation="relu",
        masks=lambda g: {"mask": normal(g, 6, 6), "src_key_padding_mask": lengths_mask([6, 4], 6)})
    one("post_causal", 2, 8, 24, 4, 32, activation="gelu", masks=lambda g: {"mask": causal(8, 8)})
    # As transformers makes masks: of a left-padded item's first rows all is out.
    one("post_finfo_min_left_padding", 2, 8, 24, 4, 32, activation="gelu", layers=2, masks=lambda g: {
        "mask": low(causal(8, 8) | left_padding([8, 5], 8)[:, None]).repeat_interleave(4, 0)})
    one("post_causal", 2, 8, 24, 4, 32, activation="gelu", layers=2, masks=lambda g: {"mask": causal(8, 8)})
    one("pre_final_norm_padding", 2, 6, 24, 4, 32, norm_first=True, activation="relu", layers=2, final=1e-5,
        masks=padding([6, 2], 6))
    one("final_norm_eps", 2, 5, 24, 4, 32, activation="gelu", layers=3, final=0.5)
    # As PyTorch takes them beside its two names.
    one("activation_gelu_tanh", 2, 5, 24, 4, 32, activation=nn.GELU(approximate="tanh"))
    one("activation_silu", 2, 5, 24, 4, 32, norm_first=True, activation=nn.functional.silu)
    one("activation_tanh", 2, 5, 24, 4, 32, activation=torch.tanh)
    one("activation_sigmoid", 2, 5, 24, 4, 32, activation=nn.Sigmoid())


# --- decoder layers ----------------------------------------------------------------------------------


def make_decoders(cases):
    def one(name, b, l, s, d, h, ff, *, masks=None, layers=None, final=None, **more):
        g = seeded("decoder_" + name)
        attributes = {"d_model": d, "nhead": h, "dim_feedforward": ff, "dropout": 0.0, "batch_first": True} | more
        if "activation" in more:
            attributes["activation"] = activation_name(more["activation"])
        m, op = nn.TransformerDecoderLayer(**attributes | more), "TransformerDecoderLayer"
        if layers:
            m, op = nn.TransformerDecoder(m, layers, norm=nn.LayerNorm(d, eps=final) if final else None), "TransformerDecoder"
            attributes |= {"num_layers": layers} | ({"norm_eps": final} if final not in (None, 1e-5) else {})
        m = m.eval()
        randomise(m, g)
        inputs = {"tgt": normal(g, b, l, d), "memory": normal(g, b, s, d)} | (masks(g) if masks else {})
        state = {k: v.clone() for k, v in m.state_dict().items()}
        f32 = m(**inputs)
        m = m.double()
        wide = f64(inputs)

        def run(inputs):
            biases = [bias_of(inputs, f"{x}_mask", f"{x}_key_padding_mask", h) for x in ("tgt", "memory")]
            x = inputs["tgt"]
            for layer in m.layers if layers else [m]:
                x = own_decoder_layer(layer, x, inputs["memory"], *biases)
            return m.norm(x) if final else x

        own = run(wide)
        for k in inputs.keys() - {"tgt", "memory"}:
            bites((name, k), own, run({n: t for n, t in wide.items() if n != k}))
        own = agree(name, own, m(**wide))
        cases.write("decoder_" + name, op, attributes, inputs, {"out": own}, {"out": f32},
                    RTOL, LAYER_ATOL, state)

    tgt_causal = lambda l: lambda g: {"tgt_mask": causal(l, l)}
    one("post_relu", 2, 5, 7, 24, 3, 32, activation="relu")
    one("post_causal_gelu", 2, 7, 4, 24, 4, 32, activation="gelu", masks=tgt_causal(7))
    one("pre_causal_gelu", 2, 6, 9, 24, 4, 32, norm_first=True, activation="gelu", masks=tgt_causal(6))
    one("pre_relu_no_bias", 2, 5, 5, 24, 2, 40, norm_first=True, bias=False, layer_norm_eps=1e-12)
    one("post_paddings", 3, 6, 8, 24, 4, 32, masks=lambda g: {
        "tgt_key_padding_mask": lengths_mask([6, 4, 1], 6), "memory_key_padding_mask": lengths_mask([3, 8, 5], 8)})
    one("pre_every_mask", 2, 6, 7, 24, 4, 32, norm_first=True, activation="gelu", masks=lambda g: {
        "tgt_mask": causal(6, 6), "tgt_key_padding_mask": lengths_mask([6, 5], 6),
        "memory_mask": (torch.rand(6, 7, generator=g) < 0.3).index_fill(1, torch.tensor(0), False),
        "memory_key_padding_mask": lengths_mask([4, 7], 7)})
    one("post_float_masks", 2, 5, 6, 24, 4, 32, masks=lambda g: {
        "tgt_mask": torch.zeros(5, 5).masked_fill(causal(5, 5), -math.inf), "memory_mask": normal(g, 8, 5, 6)})
    one("post_one_position", 1, 1, 1, 16, 2, 8, activation="gelu")
    one("activation_gelu_tanh", 2, 5, 6, 24, 4, 32, norm_first=True,
        activation=functools.partial(nn.functional.gelu, approximate="tanh"))
    one("stack_post", 2, 5, 7, 24, 3, 32, layers=2, masks=tgt_causal(5))
    # A function: copies of a decoder layer have relu where it was made with a module (its __setstate__ looks for a function).
    one("stack_pre_final_norm", 2, 6, 5, 24, 4, 32, norm_first=True, activation=nn.functional.silu, layers=2, final=1e-3,
        masks=lambda g: {"tgt_mask": causal(6, 6), "memory_key_padding_mask": lengths_mask([5, 2], 5)})


# --- additive and Luong's attention ----------------------------------------------------------------


def own_scored(score, query, key, value, key_lengths=None):
    """A pair of a query and a key at a time, as the papers write it."""
    b, lq, lk = query.shape[0], query.shape[1], key.shape[1]
    scores = torch.stack([torch.stack([torch.stack([score(query[n, i], key[n, j]) for j in range(lk)])
                                       for i in range(lq)]) for n in range(b)])
    if key_lengths is not None:
        scores = scores.masked_fill(lengths_mask(key_lengths, lk)[:, None], -math.inf)
    weights = softmax(scores)
    return weights @ value, weights


def torch_scored(scores, value, key_lengths=None):
    """The same by whole tensors; a row without keys is NaN."""
    if key_lengths is not None:
        scores = scores.masked_fill(lengths_mask(key_lengths, scores.shape[-1])[:, None], -math.inf)
    weights = scores.softmax(-1)
    return torch.einsum("bqk,bkd->bqd", weights, value), weights


def write_scored(cases, name, op, attributes, inputs, state, own_score, torch_scores, note,
                 rtol, atol):
    """One case; the scores are functions of the state, and of a pair of vectors or of whole tensors."""
    wide, wide_state = f64(inputs), f64(state)
    value, lengths = wide["value"], wide.get("key_lengths")
    own = own_scored(lambda q, k: own_score(wide_state, q, k), **wide)
    torchs = torch_scored(torch_scores(wide_state, wide["query"], wide["key"]), value, lengths)
    answer = [agree(name, o, t, lengths is not None and 0 in lengths) for o, t in zip(own, torchs)]
    if lengths is not None:
        bites(name, own[0], own_scored(lambda q, k: own_score(wide_state, q, k), wide["query"], wide["key"], value)[0])
    f32 = torch_scored(torch_scores(state, inputs["query"], inputs["key"]), inputs["value"], lengths)
    names = ("out", "weights")
    f32 = {n: torch.where(torch.isnan(x), a.float(), x) for n, x, a in zip(names, f32, answer)}
    cases.write(name, op, attributes, inputs, dict(zip(names, answer)), f32, rtol, atol, state, note)


def make_scored(cases):
    def one(name, op, b, lq, lk, dq, dk, dv, state, own_score, torch_scores, *, lengths=None, attributes=None,
            note=None, rtol=RTOL, atol=ATOL):
        g = seeded(name)
        inputs = {"query": normal(g, b, lq, dq), "key": normal(g, b, lk, dk), "value": normal(g, b, lk, dv)}
        if lengths is not None:
            inputs["key_lengths"] = torch.tensor(lengths)
        write_scored(cases, name, op, attributes or {}, inputs, {k: s(g) for k, s in state.items()}, own_score,
                     torch_scores, note, rtol, atol)

    def additive(name, b, lq, lk, dq, dk, a, dv, *, bias=True, spread=1.0, **more):
        linear = nn.functional.linear
        state = {"W_q": lambda g: normal(g, a, dq, std=dq**-0.5), "W_k": lambda g: normal(g, a, dk, std=dk**-0.5),
                 "w_v": lambda g: normal(g, a, std=spread)}
        if bias:
            state["b"] = lambda g: normal(g, a, std=0.3)
        own = lambda s, q, k: s["w_v"] @ torch.tanh(s["W_q"] @ q + s["W_k"] @ k + s.get("b", 0.0))
        whole = lambda s, q, k: torch.tanh(
            linear(q, s["W_q"])[:, :, None] + linear(k, s["W_k"], s.get("b"))[:, None]) @ s["w_v"]
        one("additive_" + name, "AdditiveAttention", b, lq, lk, dq, dk, dv, state, own, whole, **more)

    additive("decoder_step", 3, 1, 12, 16, 32, 16, 32, lengths=[12, 5, 1])
    additive("square", 2, 9, 9, 8, 8, 12, 8)
    additive("no_bias", 2, 5, 7, 12, 6, 9, 10, bias=False)
    additive("past_tiles", 1, 6, 131, 8, 8, 33, 5)
    additive("past_tiles_lengths", 2, 3, 130, 5, 7, 20, 5, lengths=[64, 129])
    additive("value_dim_70", 2, 3, 6, 5, 7, 20, 70, lengths=[6, 4])
    additive("large_scores", 2, 4, 20, 8, 8, 16, 6, spread=8.0, rtol=1e-4, atol=2e-5,
             note="scores to ±60, whose f32 error exp makes relative: wider tolerance")
    additive("one_of_each", 1, 1, 1, 1, 1, 1, 1)
    additive("no_keys", 2, 3, 6, 4, 5, 8, 4, lengths=[0, 6], note="a query without keys has weights and an output of 0")

    def luong(name, score, b, lq, lk, dq, dk, dv, a=0, **more):
        state, own, whole = {
            "dot": lambda: ({}, lambda s, q, k: q @ k, lambda s, q, k: q @ k.transpose(1, 2)),
            "general": lambda: ({"W": lambda g: normal(g, dq, dk, std=dk**-0.5)}, lambda s, q, k: q @ s["W"] @ k,
                                lambda s, q, k: torch.einsum("bqd,de,bke->bqk", q, s["W"], k)),
            "concat": lambda: ({"W": lambda g: normal(g, a, dq + dk, std=dk**-0.5), "v": lambda g: normal(g, a)},
                               lambda s, q, k: s["v"] @ torch.tanh(s["W"] @ torch.cat([q, k])),
                               lambda s, q, k: torch.tanh(torch.cat([
                                   q[:, :, None].expand(-1, -1, k.shape[1], -1),
                                   k[:, None].expand(-1, q.shape[1], -1, -1)], -1) @ s["W"].T) @ s["v"]),
        }[score]()
        one("luong_" + name, "LuongAttention", b, lq, lk, dq, dk, dv, state, own, whole,
            attributes={"score": score}, **more)

    luong("dot", "dot", 2, 5, 7, 8, 8, 6)
    luong("dot_lengths", "dot", 3, 4, 9, 6, 6, 6, lengths=[9, 2, 5])
    luong("dot_past_tiles", "dot", 1, 3, 131, 8, 8, 8)
    luong("general", "general", 2, 5, 7, 8, 12, 6)
    luong("general_lengths", "general", 3, 1, 11, 12, 5, 9, lengths=[1, 11, 4])
    luong("concat", "concat", 2, 5, 7, 8, 12, 6, a=10)
    luong("concat_lengths", "concat", 2, 6, 70, 4, 9, 5, a=13, lengths=[70, 33])
    masked = "a query without keys has weights and an output of 0"
    for score in ("dot", "general", "concat"):
        luong(f"{score}_no_keys", score, 2, 2, 5, 4, 4, 3, a=6, lengths=[5, 0], note=masked)


# --- gated recurrent units ------------------------------------------------------------------------------


def own_gru(state, x, lengths, initial, directions):
    """A sequence and a step at a time. x is [B, L, I]."""
    b, length, h = x.shape[0], x.shape[1], initial.shape[-1]
    output, last = torch.zeros(b, length, directions * h, dtype=x.dtype), initial.clone()
    for n in range(b):
        for d in range(directions):
            w = {k: state.get(f"{k}_l0" + ("_reverse" if d else "")) for k in
                 ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
            steps = range(int(lengths[n]))
            for t in reversed(steps) if d else steps:
                gi = (nn.functional.linear(x[n, t], w["weight_ih"], w["bias_ih"])).chunk(3)
                gh = (nn.functional.linear(last[d, n], w["weight_hh"], w["bias_hh"])).chunk(3)
                r, z = torch.sigmoid(gi[0] + gh[0]), torch.sigmoid(gi[1] + gh[1])
                last[d, n] = (1 - z) * torch.tanh(gi[2] + r * gh[2]) + z * last[d, n]
                output[n, t, d * h:(d + 1) * h] = last[d, n]
    return output, last


def torch_gru(m, x, lengths, initial):
    """x is [B, L, I]."""
    if lengths is None:
        output, last = m(x if m.batch_first else x.transpose(0, 1), initial)
        return (output if m.batch_first else output.transpose(0, 1)), last
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, last = m(packed, initial)
    return nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], last


def make_gru(cases):
    def one(name, b, length, i, h, *, lengths=None, first=False, batch_first=True, bidirectional=False, bias=True):
        g = seeded("gru_" + name)
        attributes = {"input_size": i, "hidden_size": h, "batch_first": batch_first, "bidirectional": bidirectional}
        if not bias:
            attributes["bias"] = False
        m = nn.GRU(**attributes).eval()
        randomise(m, g)
        directions = 2 if bidirectional else 1
        x = normal(g, b, length, i)
        inputs = {"input": x if batch_first else x.transpose(0, 1).contiguous()}
        initial = torch.zeros(directions, b, h)
        if first:
            initial = inputs["h_0"] = normal(g, directions, b, h)
        if lengths:
            inputs["lengths"] = torch.tensor(lengths)
        state = {k: v.clone() for k, v in m.state_dict().items()}
        f32 = torch_gru(m, x, lengths, initial)
        m = m.double()
        theirs = torch_gru(m, x.double(), lengths, initial.double())
        own = own_gru(m.state_dict(), x.double(), lengths or [length] * b, initial.double(), directions)
        answer = [agree(name, o, t) for o, t in zip(own, theirs)]
        if not batch_first:
            answer[0], f32 = answer[0].transpose(0, 1).contiguous(), (f32[0].transpose(0, 1), f32[1])
        names = ("output", "h_n")
        cases.write("gru_" + name, "GRU", attributes, inputs, dict(zip(names, answer)), dict(zip(names, f32)), RTOL,
                    LAYER_ATOL, state)

    one("one_step", 1, 1, 3, 4)
    one("forward", 2, 7, 5, 6)
    one("no_bias_initial", 2, 4, 6, 5, bias=False, first=True)
    one("bidirectional", 2, 6, 7, 8, bidirectional=True)
    one("bidirectional_lengths", 4, 9, 5, 7, bidirectional=True, lengths=[9, 1, 4, 8])
    one("bidirectional_lengths_initial", 3, 5, 4, 6, bidirectional=True, lengths=[2, 5, 3], first=True)
    one("length_second", 3, 4, 5, 5, batch_first=False, bidirectional=True)
    one("hidden_33", 2, 4, 6, 33)
    one("long", 2, 60, 4, 6, lengths=[60, 33])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE / "pytorch", help="where to write (default: %(default)s)")
    out = p.parse_args().out
    warnings.filterwarnings("ignore")  # PyTorch's on mixing bool and float masks, which we mean to do
    torch.backends.mha.set_fastpath_enabled(False)  # another algorithm, with other answers on padding
    with torch.no_grad():
        cases = Cases(out)
        make_mha(cases)
        make_sdpa(cases)
        make_encoders(cases)
        make_decoders(cases)
        make_scored(cases)
        make_gru(cases)
    print(f"{sum(path.stat().st_size for path in out.iterdir())} bytes in {len(list(out.iterdir()))} files")


if __name__ == "__main__":
    main()
