#!/usr/bin/env python3
"""Writes case files for `attentive check` from PyTorch; docs/cases.md describes them.

    pip install torch numpy safetensors
    python examples/make_case.py cases && attentive check cases

As a module, in a script of your own:

    from make_case import record_attention, write_case, write_module_case

    with record_attention("cases"):      # each scaled_dot_product_attention of your model becomes a file
        model(tokens)
    write_module_case("cases/mha.safetensors", nn.MultiheadAttention(64, 4), query=x, key=x, value=x)
    write_module_case("cases/layer.safetensors", layer, gradients=True, src=x)      # and autograd's gradients
"""

import contextlib
import functools
import inspect
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn


def write_case(path, op, inputs, expected, attributes=None, weights=None, rtol=None, atol=None, source=None, *,
               upstream=None, gradients=None, gradient_rtol=None, gradient_atol=None):
    """One case file. Inputs, weights and answers are dicts of tensors by name; so are `upstream`, the gradients of outputs, and
    `gradients`, those of inputs and (as `weight.NAME`) of weights that come of them."""
    named = lambda prefix, tensors: {f"{prefix}.{name}": tensor for name, tensor in (tensors or {}).items()}
    tensors = {**inputs, **named("weight", weights), **named("expected", expected), **named("upstream", upstream),
               **named("gradient", gradients)}
    # Sums of some hundred terms in f32; four units in the last place where the answer is rounded to f16 or bf16.
    narrow = max(torch.finfo(tensor.dtype).eps for tensor in expected.values())
    tolerance = 1e-5 if narrow < 1e-6 else 4 * narrow
    case = {"op": op, "attributes": attributes or {}, "rtol": tolerance if rtol is None else rtol,
            "atol": tolerance if atol is None else atol,
            **{name: value for name, value in (("gradient_rtol", gradient_rtol), ("gradient_atol", gradient_atol)) if value is not None},
            "source": source or f"torch {torch.__version__.split('+')[0]}"}
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


# What PyTorch's layers may be given as their activation, by function and by module, and its name in a case.
FUNCTIONS = {nn.functional.relu: "relu", torch.relu: "relu", nn.functional.gelu: "gelu", nn.functional.silu: "silu",
             torch.tanh: "tanh", nn.functional.tanh: "tanh", torch.sigmoid: "sigmoid", nn.functional.sigmoid: "sigmoid"}
MODULES = {nn.ReLU: "relu", nn.GELU: "gelu", nn.SiLU: "silu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
MODULE_OPS = ("MultiheadAttention", "TransformerEncoderLayer", "TransformerEncoder", "TransformerDecoderLayer",
              "TransformerDecoder")


def activation_name(activation):
    """The name of an activation: a function, a functools.partial of gelu, or a module."""
    function, given = activation, {}
    if isinstance(activation, functools.partial) and not activation.args:
        function, given = activation.func, activation.keywords
    name = MODULES.get(type(activation)) or (FUNCTIONS.get(function) if callable(function) else None)
    if type(activation) is nn.GELU:
        given = {"approximate": activation.approximate}
    if name == "gelu" and given in ({}, {"approximate": "none"}, {"approximate": "tanh"}):
        return "gelu_tanh" if given.get("approximate") == "tanh" else "gelu"
    # `inplace` says where a result goes, not what it is.
    if name is None or name == "gelu" or set(given) - {"inplace"}:
        raise ValueError(f"a case has no name for the activation {activation!r}; it takes relu, gelu (exact, and with "
                         "approximate='tanh'), silu, tanh and sigmoid, as functions or as modules")
    return name


def layer_attributes(layer):
    """What the constructor of an encoder or decoder layer was given."""
    epsilons = {norm.eps for name, norm in layer.named_children() if name.startswith("norm")}
    if len(epsilons) != 1:
        raise ValueError(f"the norms of a case's layer have one eps, these have {sorted(epsilons)}")
    return {"d_model": layer.self_attn.embed_dim, "nhead": layer.self_attn.num_heads,
            "dim_feedforward": layer.linear1.out_features, "activation": activation_name(layer.activation),
            "layer_norm_eps": layer.norm1.eps, "batch_first": layer.self_attn.batch_first,
            "norm_first": layer.norm_first, "bias": layer.linear1.bias is not None}


def attributes_of(module):
    """What the module's constructor was given."""
    if isinstance(module, nn.MultiheadAttention):
        return {"embed_dim": module.embed_dim, "num_heads": module.num_heads, "kdim": module.kdim, "vdim": module.vdim,
                "bias": module.in_proj_bias is not None, "batch_first": module.batch_first,
                "add_bias_kv": module.bias_k is not None, "add_zero_attn": module.add_zero_attn}
    if not isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return layer_attributes(module)
    kind = nn.TransformerEncoderLayer if isinstance(module, nn.TransformerEncoder) else nn.TransformerDecoderLayer
    for layer in module.layers:
        if type(layer) is not kind:
            raise ValueError(f"a case of a {type(module).__name__} has layers of {kind.__name__}, not {type(layer).__name__}")
        if layer_attributes(layer) != layer_attributes(module.layers[0]):
            raise ValueError(f"the layers of a case's {type(module).__name__} are alike, these differ in more than weights")
    attributes = layer_attributes(module.layers[0]) | {"num_layers": len(module.layers)}
    if module.norm is not None:
        if type(module.norm) is not nn.LayerNorm:
            raise ValueError(f"the last norm of a case's {type(module).__name__} is a LayerNorm, not {type(module.norm).__name__}")
        attributes["norm_eps"] = module.norm.eps
    return attributes


def write_module_case(path, module, rtol=None, atol=None, gradients=False, **inputs):
    """A module of MODULE_OPS with what it answers to `inputs`; a ValueError for what a case cannot say. With `gradients` also those
    of all floats among inputs and weights, for a random gradient of the first output."""
    op = next((name for name in MODULE_OPS if type(module) is getattr(nn, name)), None)
    if op is None:
        raise ValueError(f"write_module_case takes torch.nn's {', '.join(MODULE_OPS)}, not {type(module).__name__}; "
                         "write_case takes tensors of whatever computed them")
    attributes = attributes_of(module)
    # PyTorch's fast path answers something else where a position is padding.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    is_float = lambda value: isinstance(value, torch.Tensor) and value.is_floating_point()
    # Each a tensor of its own, so that query, key and value have gradients of their own where they are one.
    given = {name: value.detach().clone().requires_grad_(gradients) if is_float(value) else value for name, value in inputs.items()}
    try:
        with torch.set_grad_enabled(gradients):
            answer = module.eval()(**given)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    expected, more = {"out": answer}, {}
    if op == "MultiheadAttention":
        attributes["average_attn_weights"] = inputs.pop("average_attn_weights", True)
        expected = dict(zip(("attn_output", "attn_output_weights"), answer))
        # Absent with need_weights=False.
        expected = {name: value for name, value in expected.items() if value is not None}
    if gradients:
        name, output = next(iter(expected.items()))
        leaves = {name: value for name, value in given.items() if is_float(value)}
        leaves |= {f"weight.{name}": value for name, value in module.named_parameters()}
        upstream = torch.randn_like(output)
        found = torch.autograd.grad(output, list(leaves.values()), upstream, allow_unused=True)
        # What attention's weights are averaged to has no gradient here.
        expected = {name: output}
        more = {"upstream": {name: upstream}, "gradients": {
            name: torch.zeros_like(leaf) if gradient is None else gradient for (name, leaf), gradient in zip(leaves.items(), found)}}
    tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    write_case(path, op, tensors, expected, attributes, module.state_dict(), rtol, atol, **more)


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
    # Stacks; activations as functions and as modules; keys that are no input's.
    layer = nn.TransformerEncoderLayer(32, 4, 48, activation=nn.GELU(approximate="tanh"), batch_first=True)
    write_module_case(folder / "encoder.safetensors", nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(32)),
                      src=x, src_key_padding_mask=padding)
    layer = nn.TransformerDecoderLayer(32, 4, 48, activation=nn.functional.silu)
    write_module_case(folder / "decoder.safetensors", nn.TransformerDecoder(layer, 2), tgt=target, memory=memory, tgt_mask=mask)
    write_module_case(folder / "mha_bias_kv.safetensors",
                      nn.MultiheadAttention(32, 4, batch_first=True, add_bias_kv=True, add_zero_attn=True),
                      query=x, key=x, value=x, key_padding_mask=padding)
    # What PyTorch's autograd says too.
    write_module_case(folder / "gradients.safetensors", nn.MultiheadAttention(16, 2, batch_first=True), gradients=True,
                      query=x[..., :16], key=x[..., 16:], value=x[..., 16:])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(inspect.cleandoc(__doc__))
    main(sys.argv[1])
