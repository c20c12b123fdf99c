#!/usr/bin/env python3
"""Writes case files for `attentive check` from PyTorch; docs/cases.md describes them.

    pip install torch numpy safetensors
    python examples/make_case.py cases && attentive check cases

As a module, in a script of your own:

    from make_case import record_attention, write_case, write_module_case

    with record_attention("cases"):      # each scaled_dot_product_attention of your model becomes a file
        model(tokens)
    write_module_case("cases/mha.safetensors", nn.MultiheadAttention(64, 4), query=x, key=x, value=x)
"""

import contextlib
import inspect
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn


def write_case(path, op, inputs, expected, attributes=None, weights=None, rtol=None, atol=None, source=None):
    """One case file. Inputs, weights and answers are dicts of tensors by name."""
    tensors = {**inputs, **{f"weight.{name}": tensor for name, tensor in (weights or {}).items()},
               **{f"expected.{name}": tensor for name, tensor in expected.items()}}
    # Sums of some hundred terms in f32; four units in the last place where the answer is rounded to f16 or bf16.
    narrow = max(torch.finfo(tensor.dtype).eps for tensor in expected.values())
    tolerance = 1e-5 if narrow < 1e-6 else 4 * narrow
    case = {"op": op, "attributes": attributes or {}, "rtol": tolerance if rtol is None else rtol,
            "atol": tolerance if atol is None else atol, "source": source or f"torch {torch.__version__.split('+')[0]}"}
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Views and shared memory are no tensors of their own to safetensors.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, path, metadata={"case": json.dumps(case)})


@contextlib.contextmanager
def record_attention(folder, limit=100):
    """Writes each call of torch.nn.functional.scaled_dot_product_attention inside it, at most `limit` of them."""
    original = nn.functional.scaled_dot_product_attention
    written = 0

    def record(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        nonlocal written
        given = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
        given = {name: value for name, value in given.items() if value not in (None, False)}
        out = original(query, key, value, attn_mask=attn_mask, dropout_p=dropout_p, **given)
        if dropout_p == 0.0 and written < limit:
            inputs = {"query": query, "key": key, "value": value}
            if attn_mask is not None:
                inputs["attn_mask"] = attn_mask
            path = pathlib.Path(folder) / f"attention_{written:03}.safetensors"
            write_case(path, "scaled_dot_product_attention", inputs, {"out": out}, given)
            written += 1
        return out

    nn.functional.scaled_dot_product_attention = record
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = original


def attributes_of(module):
    """What the module's constructor was given."""
    if isinstance(module, nn.MultiheadAttention):
        return {"embed_dim": module.embed_dim, "num_heads": module.num_heads, "kdim": module.kdim, "vdim": module.vdim,
                "bias": module.in_proj_bias is not None, "batch_first": module.batch_first,
                "add_bias_kv": module.bias_k is not None, "add_zero_attn": module.add_zero_attn}
    activation = {nn.functional.relu: "relu", nn.functional.gelu: "gelu"}[module.activation]
    return {"d_model": module.self_attn.embed_dim, "nhead": module.self_attn.num_heads,
            "dim_feedforward": module.linear1.out_features, "activation": activation,
            "layer_norm_eps": module.norm1.eps, "batch_first": module.self_attn.batch_first,
            "norm_first": module.norm_first, "bias": module.linear1.bias is not None}


@torch.no_grad()
def write_module_case(path, module, rtol=None, atol=None, **inputs):
    """A MultiheadAttention, TransformerEncoderLayer or TransformerDecoderLayer with what it answers to `inputs`."""
    # PyTorch's fast path answers something else where a position is padding.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    answer = module.eval()(**inputs)
    torch.backends.mha.set_fastpath_enabled(fast)
    attributes = attributes_of(module)
    expected = {"out": answer}
    if isinstance(module, nn.MultiheadAttention):
        attributes["average_attn_weights"] = inputs.pop("average_attn_weights", True)
        expected = dict(zip(("attn_output", "attn_output_weights"), answer))
    tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    write_case(path, type(module).__name__, tensors, expected, attributes, module.state_dict(), rtol, atol)


def main(folder):
    torch.manual_seed(0)
    folder = pathlib.Path(folder)
    query, key, value = (torch.randn(2, 4, length, 16) for length in (5, 7, 7))
    with record_attention(folder):
        nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        nn.functional.scaled_dot_product_attention(query.half(), key.half(), value.half(), scale=0.3)
    x = torch.randn(2, 6, 32)
    write_module_case(folder / "mha.safetensors", nn.MultiheadAttention(32, 4, batch_first=True), query=x, key=x, value=x)
    layer = nn.TransformerEncoderLayer(32, 4, 48, activation="gelu", batch_first=True)
    padding = torch.arange(6)[None] >= torch.tensor([[6], [4]])
    write_module_case(folder / "encoder_layer.safetensors", layer, src=x, src_key_padding_mask=padding)
    # The batch second, which is PyTorch's default, and no batch at all.
    layer = nn.TransformerDecoderLayer(32, 4, 48, norm_first=True)
    target, memory = torch.randn(6, 2, 32), torch.randn(9, 2, 32)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    write_module_case(folder / "decoder_layer.safetensors", layer, tgt=target, memory=memory, tgt_mask=mask)
    write_module_case(folder / "mha_unbatched.safetensors", nn.MultiheadAttention(32, 4, vdim=20, bias=False),
                      query=x[0], key=x[1], value=torch.randn(6, 20))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(inspect.cleandoc(__doc__))
    main(sys.argv[1])
