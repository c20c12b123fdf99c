#!/usr/bin/env python3
"""Writes the cases with gradients into the folder gradients beside this file; README.md describes them.

    python gradients.py [--out FOLDER]

Inputs, weights and upstream gradients are drawn in f32; answers and gradients are PyTorch's in f64, by autograd, rounded once. Each
gradient is held against the slope of Σ upstream · output along a random direction.
"""

import argparse
import math
import pathlib
import shutil
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from pytorch import (HERE, bites, causal, f64, lengths_mask, normal, own_sdpa, randomise, seeded, torch_gru,
                     torch_scored, used, write_case)

SOURCE = f"torch {torch.__version__.split('+')[0]} tests/cases/gradients.py"

# As in pytorch.py; a gradient sums over rows too, and stands behind more steps than an answer.
RTOL, ATOL, GRADIENT_ATOL, QUARTER = 1e-5, 4e-6, 8e-6, 0.25
MODULE_ATOL = 2e-5  # two to eight products behind one another, where gradients have grown to 10 and more, and terms cancel
MANY_ROWS_ATOL = 4e-5  # sums over 70 rows in place of 12: √6 times the error, of numbers √6 times as large


def computed(forward, tensors, upstream, asked):
    """The outputs, and the gradients of Σ upstream · output by the tensors that are asked for."""
    leaves = {k: v.clone().requires_grad_() if k in asked else v for k, v in tensors.items()}
    outputs = forward(leaves)
    loss = sum((upstream[k].to(v) * v).sum() for k, v in outputs.items() if k in upstream)
    found = torch.autograd.grad(loss, [leaves[k] for k in asked], allow_unused=True)
    found = [torch.zeros_like(leaves[k]) if gradient is None else gradient for k, gradient in zip(asked, found)]
    return {k: v.detach() for k, v in outputs.items()}, dict(zip(asked, found))


def check_slope(name, forward, tensors, upstream, gradients, g):
    """Along a random direction of each tensor the loss rises as its gradient says; five points, in f64."""
    def loss(tensors):
        return float(sum((upstream[k].double() * v).sum() for k, v in forward(tensors).items() if k in upstream))

    for k, gradient in gradients.items():
        direction = torch.randn(tensors[k].shape, generator=g).double()
        direction = torch.where(torch.isfinite(tensors[k]), direction, torch.zeros_like(direction))
        at = lambda step: loss(tensors | {k: tensors[k] + step * direction})
        slope = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
        expected = float((gradient * direction).sum())
        size = float(gradient.abs().max()) + 1e-3
        assert abs(slope - expected) <= 1e-7 * size * math.sqrt(max(gradient.numel(), 1)) + 1e-8, (name, k, slope, expected)


class Cases:
    def __init__(self, folder):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)

    def one(self, name, op, inputs, forward, *, attributes=None, state=None, upstream=None, asked=None, answers=None,
            gradient_atol=GRADIENT_ATOL):
        """`forward` gives outputs by name, from inputs and weights by name (`weight.NAME`), in f32 and in f64. Asked for are the
        gradients of all floats, or those of `asked`, by the outputs of `upstream`, or the first."""
        g = seeded("gradient_" + name)
        tensors = inputs | {f"weight.{k}": v for k, v in (state or {}).items()}
        asked = asked or [k for k, v in tensors.items() if v.is_floating_point()]
        wide = f64(tensors)
        with torch.no_grad():
            shapes = {k: v.shape for k, v in forward(wide).items()}
        upstream = {k: torch.randn(shapes[k], generator=g) for k in upstream or list(shapes)[:1]}
        answer, gradients = computed(forward, wide, upstream, asked)
        answer = {k: answer[k] for k in answers or answer}
        for k, v in (answer | gradients).items():
            assert torch.isfinite(v).all(), (name, k)
        with torch.no_grad():
            check_slope(name, forward, wide, upstream, gradients, g)
        f32, f32_gradients = computed(forward, tensors, upstream, asked)
        share = max(used(f32[k], v, RTOL, ATOL) for k, v in answer.items())
        gradient_share = max(used(f32_gradients[k], v, RTOL, gradient_atol) for k, v in gradients.items())
        assert max(share, gradient_share) <= QUARTER, (name, share, gradient_share)
        path = self.folder / f"{name}.safetensors"
        single = lambda tensors: {k: v.float() for k, v in tensors.items()}
        write_case(path, op, inputs, single(answer), attributes, state, RTOL, ATOL, SOURCE, upstream=upstream,
                   gradients=single(gradients), gradient_atol=gradient_atol)
        print(f"  {path.stat().st_size:7} {name}: PyTorch f32 uses {share:.3f} and {gradient_share:.3f} of the tolerances")


def masked_softmax(scores, out):
    """A row in which all is out has weights 0, and no gradient: autograd makes NaN of softmax over nothing but −∞."""
    top = scores.masked_fill(out, torch.finfo(scores.dtype).min).amax(-1, keepdim=True).detach()
    e = torch.exp((scores - top).masked_fill(out, 0.0)).masked_fill(out, 0.0)
    total = e.sum(-1, keepdim=True)
    return e / (total + (total == 0))


def make_functions(cases):
    def activated(activation, residual=True):
        def forward(t):
            y = activation(F.linear(t["input"], t["weight"], t.get("bias")))
            return {"out": y + t["residual"] if residual else y}
        return forward

    def linear(name, activation=None, *, rows=(3, 4), i=10, o=7, bias=True, residual=False, **more):
        g = seeded("linear_" + name)
        inputs = {"input": normal(g, *rows, i), "weight": normal(g, o, i, std=i**-0.5)}
        inputs |= {"bias": normal(g, o)} if bias else {}
        inputs |= {"residual": normal(g, *rows, o)} if residual else {}
        function = {None: lambda x: x, "relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh,
                    "sigmoid": torch.sigmoid, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}[activation]
        cases.one("linear_" + name, "linear", inputs, activated(function, residual),
                  attributes={"activation": activation} if activation else {}, **more)

    linear("bias")
    linear("no_bias_residual", bias=False, residual=True, i=12, o=8)
    linear("relu", "relu", residual=True)
    linear("gelu", "gelu", residual=True, rows=(9,))
    linear("gelu_tanh", "gelu_tanh")
    linear("silu", "silu", residual=True)
    linear("tanh", "tanh", bias=False)
    linear("sigmoid", "sigmoid", rows=(2, 2, 3))
    # Past a tile of every implementation's.
    linear("tiles", "gelu", rows=(70,), i=20, o=12, residual=True, gradient_atol=MANY_ROWS_ATOL)

    g = seeded("functions")
    x = normal(g, 3, 5, 6)
    cases.one("softmax_rows", "Softmax", {"input": 3 * x}, lambda t: {"output": t["input"].softmax(-1)})
    cases.one("softmax_middle_axis", "Softmax", {"input": 3 * x}, lambda t: {"output": t["input"].softmax(1)},
              attributes={"axis": 1})
    cases.one("gelu", "Gelu", {"X": 2 * x}, lambda t: {"Y": F.gelu(t["X"])})
    affine = {"Scale": normal(g, 6, mean=1.0), "B": normal(g, 6)}
    cases.one("layer_norm", "LayerNormalization", {"X": x + 3.0} | affine,
              lambda t: {"Y": F.layer_norm(t["X"], [6], t["Scale"], t["B"])})
    affine = {"Scale": normal(g, 5, 6, mean=1.0), "B": normal(g, 5, 6)}
    cases.one("layer_norm_two_axes", "LayerNormalization", {"X": x} | affine, attributes={"axis": 1, "epsilon": 1e-2},
              forward=lambda t: {"Y": F.layer_norm(t["X"], [5, 6], t["Scale"], t["B"], 1e-2)})
    cases.one("rms_norm", "RMSNormalization", {"X": x, "scale": normal(g, 6, mean=1.0)},
              lambda t: {"Y": F.rms_norm(t["X"], [6], t["scale"], 1e-5)})
    cases.one("matmul_broadcast", "MatMul", {"A": normal(g, 2, 1, 3, 4), "B": normal(g, 3, 4, 5)},
              lambda t: {"Y": t["A"] @ t["B"]})
    cases.one("gemm", "Gemm", {"A": normal(g, 6, 3), "B": normal(g, 5, 6), "C": normal(g, 5)},
              lambda t: {"Y": 0.5 * t["A"].mT @ t["B"].mT + 2.0 * t["C"]},
              attributes={"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1})

    def rotated(t):
        cos, sin = t["cos_cache"][:, None], t["sin_cache"][:, None]
        a, b = t["X"].chunk(2, -1)
        return {"Y": torch.cat([a * cos - b * sin, b * cos + a * sin], -1)}

    angles = (torch.arange(5)[:, None] * 10000.0 ** (-torch.arange(4) / 4)).repeat(2, 1, 1)
    cases.one("rotary_embedding", "RotaryEmbedding", asked=["X"], forward=rotated, attributes={},
              inputs={"X": normal(g, 2, 3, 5, 8), "cos_cache": angles.cos(), "sin_cache": angles.sin()} )

    ids = torch.tensor([[3, 0, 3, 8], [8, 8, 3, 1]])  # some several times, some never
    cases.one("embedding", "embedding", {"input": ids, "weight": normal(g, 9, 5)},
              lambda t: {"out": F.embedding(t["input"], t["weight"])})
    target = torch.tensor([2, -100, 0, 6, 6])
    cases.one("cross_entropy", "cross_entropy", {"input": 3 * normal(g, 5, 7), "target": target},
              lambda t: {"out": F.cross_entropy(t["input"], t["target"])})
    cases.one("cross_entropy_smoothed", "cross_entropy", {"input": 3 * normal(g, 5, 7), "target": target.clamp(min=3)},
              lambda t: {"out": F.cross_entropy(t["input"], t["target"], ignore_index=3, label_smoothing=0.1)},
              attributes={"ignore_index": 3, "label_smoothing": 0.1})

    def pooled(mode, normalizes):
        def forward(t):
            x, padding = t["token_embeddings"], lengths_mask(t["lengths"].tolist(), t["token_embeddings"].shape[1])[..., None]
            y = {"mean": lambda: x.masked_fill(padding, 0.0).sum(1) / t["lengths"][:, None], "cls": lambda: x[:, 0],
                 "max": lambda: x.masked_fill(padding, -math.inf).amax(1)}[mode]()
            return {"sentence_embedding": F.normalize(y, dim=-1) if normalizes else y}
        return forward

    for mode, normalizes in [("mean", True), ("cls", False), ("max", False)]:
        cases.one(f"pooling_{mode}", "Pooling", {"token_embeddings": normal(g, 3, 6, 8), "lengths": torch.tensor([6, 1, 4])},
                  pooled(mode, normalizes), attributes={"pooling_mode": mode, "normalize": normalizes})


def make_attention(cases):
    def sdpa(name, q, k, v, *, mask=None, **attributes):
        g = seeded("sdpa_gradient_" + name)
        inputs = {"query": normal(g, *q), "key": normal(g, *k), "value": normal(g, *v)}
        if mask:
            inputs["attn_mask"] = mask(g)
            wide = f64(inputs)
            bites(name, own_sdpa(**wide, **attributes), own_sdpa(*list(wide.values())[:3], **attributes))

        def own(query, key, value, attn_mask):
            return masked_softmax(query @ key.mT * query.shape[-1] ** -0.5, ~attn_mask) @ value

        # Of a row without keys PyTorch's own has NaN for gradients.
        function = own if "row" in name else F.scaled_dot_product_attention
        cases.one("sdpa_" + name, "scaled_dot_product_attention", inputs, lambda t: {"out": function(**t, **attributes)},
                  attributes=attributes)

    keep = lambda *shape: lambda g: (torch.rand(*shape, generator=g) < 0.6).index_fill(-1, torch.tensor(0), True)
    sdpa("plain", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 6))
    sdpa("causal", (1, 2, 6, 8), (1, 2, 9, 8), (1, 2, 9, 8), is_causal=True)
    sdpa("grouped_scale", (2, 6, 4, 8), (2, 2, 5, 8), (2, 2, 5, 8), enable_gqa=True, scale=0.7)
    sdpa("bool_mask", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=keep(2, 1, 5, 7))
    sdpa("float_mask", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: normal(g, 3, 5, 7, std=2.0))
    sdpa("float_mask_broadcast", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: normal(g, 2, 1, 1, 7))
    # Key 4 is masked in every row, and rows 0 and 3 have no key.
    sdpa("row_and_key_masked", (2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8), mask=lambda g: keep(5, 7)(g).index_fill(
        0, torch.tensor([0, 3]), False).index_fill(1, torch.tensor(4), False))
    sdpa("past_tiles", (1, 1, 70, 8), (1, 1, 66, 8), (1, 1, 66, 8), is_causal=True)

    def attention(name, q, k, *, mask=None, lengths=None, **attributes):
        """ONNX's: causal bounds and windows count from the end of each item's keys where lengths are given."""
        def forward(t):
            groups = t["Q"].shape[1] // t["K"].shape[1]
            keys, values = (t[n].repeat_interleave(groups, 1) for n in "KV")
            scores = t["Q"] @ keys.mT * attributes.get("scale", t["Q"].shape[-1] ** -0.5)
            cap = attributes.get("softcap", 0.0)
            scores = cap * torch.tanh(scores / cap) if cap else scores
            if "attn_mask" in t:
                scores = scores + t["attn_mask"]
            rows, columns = scores.shape[-2:]
            ends = t["nonpad_kv_seqlen"] if lengths else torch.full([len(scores)], rows)
            place = (torch.arange(rows)[None] + (ends - rows)[:, None])[:, None, :, None]
            key = torch.arange(columns)
            out = (key >= ends[:, None, None, None]) if lengths else torch.zeros(1, dtype=torch.bool)
            out = out | (key > place) if attributes.get("is_causal") else out
            left, right = attributes.get("left_window_size", -1), attributes.get("right_window_size", -1)
            out = out | (key < place - left) if left >= 0 else out
            out = out | (key > place + right) if right >= 0 else out
            return {"Y": masked_softmax(scores, out) @ values}

        g = seeded("attention_gradient_" + name)
        inputs = {"Q": normal(g, *q), "K": normal(g, *k), "V": normal(g, *k)}
        inputs |= {"attn_mask": mask(g)} if mask else {}
        inputs |= {"nonpad_kv_seqlen": torch.tensor(lengths)} if lengths else {}
        cases.one("attention_" + name, "Attention", inputs, forward, attributes=attributes)

    attention("softcap", (2, 3, 5, 8), (2, 3, 7, 8), softcap=2.0, scale=1.0)
    attention("window_causal_grouped", (1, 4, 9, 8), (1, 2, 9, 8), is_causal=1, left_window_size=3)
    attention("windows", (1, 2, 9, 8), (1, 2, 9, 8), left_window_size=2, right_window_size=1)
    attention("key_lengths_causal", (2, 2, 3, 8), (2, 2, 7, 8), lengths=[7, 4], is_causal=1)
    attention("softcap_float_mask_lengths", (2, 2, 4, 8), (2, 1, 6, 8), lengths=[4, 6], softcap=3.0,
              mask=lambda g: normal(g, 2, 1, 4, 6))


def make_modules(cases):
    def module(name, module, op, attributes, inputs, names=("out",), **more):
        g = seeded("module_" + name)
        randomise(module.eval(), g)
        state = {k: v.detach().clone() for k, v in module.state_dict().items()}

        def forward(t):
            weights = {k.removeprefix("weight."): v for k, v in t.items() if k.startswith("weight.")}
            found = torch.func.functional_call(module, weights, (), {k: t[k] for k in inputs})
            return {k: v for k, v in zip(names, found if isinstance(found, tuple) else (found,)) if v is not None}

        cases.one(name, op, inputs, forward, attributes=attributes, state=state, gradient_atol=MODULE_ATOL, **more)

    def mha(name, b, lq, lk, e, h, *, same=False, masks=None, asked=None, **more):
        g = seeded("mha_gradient_" + name)
        attributes = {"embed_dim": e, "num_heads": h, "batch_first": True} | more
        shape = lambda length, width: [size for size in ((b, length, width) if attributes["batch_first"] else (length, b, width)) if size]
        query = normal(g, *shape(lq, e))
        key = query if same else normal(g, *shape(lk, more.get("kdim", e)))
        value = query if same else normal(g, *shape(lk, more.get("vdim", e)))
        inputs = {"query": query, "key": key, "value": value} | (masks(g) if masks else {})
        module("mha_" + name, nn.MultiheadAttention(**attributes), "MultiheadAttention", attributes, inputs,
               ("attn_output", "attn_output_weights"), asked=asked, answers=["attn_output"])

    weights = [f"weight.{name}" for name in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")]
    mha("packed", 2, 6, 6, 16, 2, same=True, asked=weights)
    mha("self", 2, 5, 5, 12, 3, same=True)
    mha("widths", 2, 4, 6, 12, 3, kdim=10, vdim=14)
    mha("batch_second_padding", 3, 4, 6, 12, 3, batch_first=False, masks=lambda g: {"key_padding_mask": lengths_mask([6, 3, 1], 6)})
    mha("unbatched", None, 4, 6, 12, 3, bias=False)
    mha("float_mask", 2, 4, 6, 12, 3, bias=False, masks=lambda g: {"attn_mask": normal(g, 6, 4, 6)})

    def layer(name, kind, l, s, d, h, ff, *, b=2, masks=None, layers=None, final=False, **more):
        g = seeded("layer_gradient_" + name)
        attributes = {"d_model": d, "nhead": h, "dim_feedforward": ff, "dropout": 0.0, "batch_first": True} | more
        decodes = "Decoder" in kind
        m = getattr(nn, kind + "Layer")(**attributes)
        if layers:
            stack = {"norm": nn.LayerNorm(d) if final else None} | ({} if decodes else {"enable_nested_tensor": False})
            m = getattr(nn, kind)(m, layers, **stack)
            attributes |= {"num_layers": layers}
        inputs = {"tgt": normal(g, b, l, d), "memory": normal(g, b, s, d)} if decodes else {"src": normal(g, b, l, d)}
        module(name, m, kind if layers else kind + "Layer", attributes, inputs | (masks(g) if masks else {}))

    layer("encoder_layer", "TransformerEncoder", 6, 0, 16, 2, 20, activation="gelu",
          masks=lambda g: {"src_key_padding_mask": lengths_mask([6, 4], 6)})
    layer("encoder_layer_pre", "TransformerEncoder", 5, 0, 12, 3, 16, norm_first=True, bias=False)
    layer("encoder", "TransformerEncoder", 5, 0, 12, 2, 16, layers=2, final=True, norm_first=True, activation="gelu")
    layer("decoder_layer", "TransformerDecoder", 5, 6, 16, 2, 20, activation="relu", masks=lambda g: {
        "tgt_mask": causal(5, 5), "memory_key_padding_mask": lengths_mask([6, 2], 6)})
    layer("decoder_pre", "TransformerDecoder", 4, 5, 12, 2, 16, layers=2, final=True, norm_first=True, activation="gelu",
          masks=lambda g: {"tgt_mask": causal(4, 4)})

    def gru(name, b, length, i, h, *, lengths=None, first=False, batch_first=True, bidirectional=False, bias=True):
        g = seeded("gru_gradient_" + name)
        attributes = {"input_size": i, "hidden_size": h, "batch_first": batch_first, "bidirectional": bidirectional, "bias": bias}
        m = nn.GRU(**attributes)
        randomise(m, g)
        state = {k: v.detach().clone() for k, v in m.state_dict().items()}
        directions = 2 if bidirectional else 1
        inputs = {"input": normal(g, *((b, length, i) if batch_first else (length, b, i)))}
        inputs |= {"h_0": normal(g, directions, b, h)} if first else {}
        inputs |= {"lengths": torch.tensor(lengths)} if lengths else {}

        def forward(t):
            x = t["input"] if batch_first else t["input"].transpose(0, 1)
            initial = t.get("h_0", torch.zeros(directions, b, h, dtype=x.dtype))
            weights = {k.removeprefix("weight."): v for k, v in t.items() if k.startswith("weight.")}
            # Packed sequences are no arguments of functional_call's: the module is called inside one that has its weights.
            output, last = torch.func.functional_call(Called(m), {f"inner.{k}": v for k, v in weights.items()},
                                                      (x, t.get("lengths"), initial))
            return {"output": output if batch_first else output.transpose(0, 1), "h_n": last}

        cases.one("gru_" + name, "GRU", inputs, forward, attributes=attributes, state=state, upstream=["output", "h_n"])

    class Called(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, lengths, initial):
            return torch_gru(self.inner, x, lengths, initial)

    gru("forward", 2, 4, 5, 6)
    gru("lengths_initial", 3, 5, 4, 6, bidirectional=True, lengths=[2, 5, 3], first=True)
    gru("batch_second_no_bias", 2, 3, 4, 5, batch_first=False, bias=False)

    def scored(name, op, dims, state, scores, *, lengths=None, attributes=None, upstream=("out", "weights"), answers=None):
        b, lq, lk, dq, dk, dv = dims
        g = seeded("scored_gradient_" + name)
        inputs = {"query": normal(g, b, lq, dq), "key": normal(g, b, lk, dk), "value": normal(g, b, lk, dv)}
        inputs |= {"key_lengths": torch.tensor(lengths)} if lengths else {}

        def forward(t):
            found = torch_scored(scores(t), t["value"], t.get("key_lengths"))
            return dict(zip(("out", "weights"), found))

        cases.one(name, op, inputs, forward, attributes=attributes, state={k: f(g) for k, f in state.items()},
                  upstream=list(upstream), answers=answers)

    def additive(t):
        q, k = F.linear(t["query"], t["weight.W_q"]), F.linear(t["key"], t["weight.W_k"], t.get("weight.b"))
        return torch.tanh(q[:, :, None] + k[:, None]) @ t["weight.w_v"]

    def concat(t):
        pairs = [x.expand(-1, t["query"].shape[1], t["key"].shape[1], -1) for x in (t["query"][:, :, None], t["key"][:, None])]
        return torch.tanh(torch.cat(pairs, -1) @ t["weight.W"].mT) @ t["weight.v"]

    state = {"W_q": lambda g: normal(g, 7, 5, std=0.5), "W_k": lambda g: normal(g, 7, 6, std=0.5), "w_v": lambda g: normal(g, 7)}
    scored("additive", "AdditiveAttention", (2, 3, 5, 5, 6, 4), state | {"b": lambda g: normal(g, 7)}, additive, lengths=[5, 2])
    scored("additive_no_bias", "AdditiveAttention", (1, 2, 4, 5, 6, 3), state, additive, upstream=["out"], answers=["out"])
    scored("luong_dot", "LuongAttention", (2, 3, 5, 6, 6, 4), {}, lambda t: t["query"] @ t["key"].mT, lengths=[5, 2],
           attributes={"score": "dot"}, upstream=["out"], answers=["out"])
    scored("luong_general", "LuongAttention", (2, 3, 5, 5, 6, 4), {"W": lambda g: normal(g, 5, 6, std=0.4)},
           lambda t: t["query"] @ t["weight.W"] @ t["key"].mT, attributes={"score": "general"}, upstream=["out"], answers=["out"])
    scored("luong_concat", "LuongAttention", (2, 3, 5, 5, 6, 4),
           {"W": lambda g: normal(g, 7, 11, std=0.4), "v": lambda g: normal(g, 7)}, concat, lengths=[3, 5],
           attributes={"score": "concat"}, upstream=["out"], answers=["out"])

    def t5(t):
        heads = lambda x, w: F.linear(x, t[f"weight.{w}.weight"]).unflatten(-1, (2, 4)).transpose(1, 2)
        q, k, v = heads(t["hidden_states"], "q"), heads(t["key_value_states"], "k"), heads(t["key_value_states"], "v")
        y = (q @ k.mT + t["mask"]).softmax(-1) @ v
        return {"out": F.linear(y.transpose(1, 2).flatten(2), t["weight.o.weight"])}

    g = seeded("t5_gradient")
    state = {f"{w}.weight": normal(g, *((12, 8) if w == "o" else (8, 12)), std=0.3) for w in "qkvo"}
    cases.one("t5_attention", "T5Attention", {"hidden_states": normal(g, 2, 3, 12), "key_value_states": normal(g, 2, 5, 12),
              "mask": normal(g, 2, 1, 1, 5)}, t5, attributes={"d_model": 12, "d_kv": 4, "num_heads": 2, "is_decoder": True}, state=state)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE / "gradients", help="where to write (default: %(default)s)")
    out = p.parse_args().out
    warnings.filterwarnings("ignore")  # PyTorch's on mixing bool and float masks, which we mean to do
    torch.backends.mha.set_fastpath_enabled(False)
    cases = Cases(out)
    make_functions(cases)
    make_attention(cases)
    make_modules(cases)
    print(f"{sum(path.stat().st_size for path in out.iterdir())} bytes in {len(list(out.iterdir()))} files")


if __name__ == "__main__":
    main()
