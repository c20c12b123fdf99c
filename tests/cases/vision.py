#!/usr/bin/env python3
"""Writes the cases of attention over channels, over space and at sampled places into the folder vision beside this file;
README.md describes them.

    python vision.py [--out FOLDER]

Each op is written here from its paper's equations and computed in f64; where PyTorch or transformers have it, or a part of
it, they must agree. Inputs and weights are drawn in f32, each case with its own seed.
"""

import argparse
import pathlib
import warnings

import torch
from torch.nn.functional import conv2d, grid_sample, linear

import pytorch
from pytorch import HERE, LAYER_ATOL, RTOL, Cases, agree, f64, normal, seeded

pytorch.SOURCE = f"torch {torch.__version__.split('+')[0]} tests/cases/vision.py"


def linear_weights(g, name, outputs, inputs, bias=True, std=1.0):
    weights = {f"{name}.weight": normal(g, outputs, inputs, std=std * inputs ** -0.5)}
    if bias:
        weights[f"{name}.bias"] = normal(g, outputs, std=0.3)
    return weights


def layer(weights, name, x):
    return linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def write(cases, name, op, attributes, run, inputs, weights, atol=LAYER_ATOL, wide=None):
    """The answers of `run` in f64 and in f32; `wide` is what others say in f64."""
    own = run(f64(inputs), f64(weights))
    for key, theirs in (wide(f64(inputs), f64(weights)) if wide else {}).items():
        agree((name, key), own[key], theirs)
    cases.write(name, op, attributes, inputs, own, run(inputs, weights), RTOL, atol, weights)


# --- channels and space ------------------------------------------------------------------------------


def squeeze_excitation(t, w):
    """Hu et al. 2018, equations 2 to 4."""
    squeezed = t["x"].mean((2, 3))
    scale = torch.sigmoid(layer(w, "fc2", torch.relu(layer(w, "fc1", squeezed))))
    return {"out": t["x"] * scale[:, :, None, None], "scale": scale}


def channel_attention(x, w, prefix=""):
    """Woo et al. 2018, equation 2, M_c as it is written."""
    mlp = lambda z: layer(w, prefix + "mlp.2", torch.relu(layer(w, prefix + "mlp.0", z)))
    return torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))


def spatial_attention(x, w, prefix=""):
    """Equation 3, M_s, the convolution by its definition."""
    maps = torch.stack([x.mean(1), x.amax(1)], 1)
    weight, k = w[prefix + "conv.weight"], w[prefix + "conv.weight"].shape[-1]
    padded = torch.nn.functional.pad(maps, (k // 2,) * 4)
    windows = padded.unfold(2, k, 1).unfold(3, k, 1)
    sums = torch.einsum("bmijuv,muv->bij", windows, weight[0])
    return torch.sigmoid(sums + w.get(prefix + "conv.bias", torch.zeros(1)).to(sums))


def theirs_spatial(x, w, prefix=""):
    maps = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)
    weight = w[prefix + "conv.weight"]
    return torch.sigmoid(conv2d(maps, weight, w.get(prefix + "conv.bias"), padding=weight.shape[-1] // 2))[:, 0]


def cbam(t, w):
    """Equation 1."""
    channel = channel_attention(t["x"], w, "channel.")
    refined = channel[:, :, None, None] * t["x"]
    spatial = spatial_attention(refined, w, "spatial.")
    return {"out": spatial[:, None] * refined, "channel_map": channel, "spatial_map": spatial}


def make_maps(cases):
    def of(name, *shape):
        g = seeded(name)
        # Means away from 0, which is what a map of activations has.
        return g, {"x": normal(g, *shape) + normal(g, shape[0], shape[1], 1, 1, std=0.5)}

    def conv(g, k, bias=False, prefix=""):
        weights = {prefix + "conv.weight": normal(g, 1, 2, k, k, std=2 / k)}
        return weights | ({prefix + "conv.bias": normal(g, 1, std=0.5)} if bias else {})

    for name, (b, c, h, w), hidden, bias in [("se_16", (2, 16, 7, 9), 4, True), ("se_no_bias", (3, 12, 5, 4), 3, False),
                                             ("se_one_place", (2, 8, 1, 1), 2, True), ("se_wide", (1, 64, 14, 14), 4, True)]:
        g, inputs = of(name, b, c, h, w)
        weights = linear_weights(g, "fc1", hidden, c, bias, 2.0) | linear_weights(g, "fc2", c, hidden, bias, 2.0)
        write(cases, name, "SqueezeExcitation", {}, squeeze_excitation, inputs, weights)

    def run_channel(t, w):
        channel = channel_attention(t["x"], w)
        return {"out": t["x"] * channel[:, :, None, None], "map": channel}

    def run_spatial(t, w):
        spatial = spatial_attention(t["x"], w)
        return {"out": t["x"] * spatial[:, None], "map": spatial}

    for name, (b, c, h, w), hidden, bias in [("channel_16", (2, 16, 7, 9), 4, True),
                                             ("channel_no_bias", (3, 12, 5, 4), 3, False)]:
        g, inputs = of(name, b, c, h, w)
        weights = linear_weights(g, "mlp.0", hidden, c, bias, 2.0) | linear_weights(g, "mlp.2", c, hidden, bias)
        write(cases, name, "ChannelAttention", {}, run_channel, inputs, weights)
    for name, (b, c, h, w), k, bias in [("spatial_7", (2, 6, 11, 9), 7, False), ("spatial_3", (2, 5, 4, 13), 3, True),
                                        ("spatial_small", (3, 4, 2, 3), 7, False), ("spatial_one_channel", (1, 1, 8, 8), 5, True)]:
        g, inputs = of(name, b, c, h, w)
        write(cases, name, "SpatialAttention", {}, run_spatial, inputs, conv(g, k, bias),
              wide=lambda t, w: {"map": theirs_spatial(t["x"], w)})
    for name, (b, c, h, w), hidden, k, bias in [("cbam_16", (2, 16, 9, 10), 4, 7, False),
                                                ("cbam_biases", (3, 10, 6, 5), 5, 3, True),
                                                ("cbam_32", (1, 32, 14, 14), 2, 7, False)]:
        g, inputs = of(name, b, c, h, w)
        weights = linear_weights(g, "channel.mlp.0", hidden, c, bias) | linear_weights(g, "channel.mlp.2", c, hidden, bias)
        write(cases, name, "CBAM", {}, cbam, inputs, weights | conv(g, k, bias, "spatial."),
              wide=lambda t, w: {"spatial_map": theirs_spatial(
                  t["x"] * channel_attention(t["x"], w, "channel.")[:, :, None, None], w, "spatial.")})


# --- deformable attention ----------------------------------------------------------------------------


def locations(references, offsets, shapes):
    """Zhu et al. 2021: where each point lies, in parts of its level."""
    if references.shape[-1] == 2:
        sizes = torch.tensor([[w, h] for h, w in shapes]).to(offsets)
        return references[:, :, None, :, None] + offsets / sizes[None, None, None, :, None]
    boxes = references[:, :, None, :, None]
    return boxes[..., :2] + offsets / offsets.shape[4] * boxes[..., 2:] * 0.5


def sampled(values, shapes, references, offsets, weights, padding=None):
    """Equation 3 between its projections: bilinear by its four corners, zeros outside."""
    if padding is not None:
        values = values.masked_fill(padding[:, :, None, None], 0.0)
    batch, _, heads, dim = values.shape
    _, queries, _, levels, points, _ = offsets.shape
    at = locations(references, offsets, shapes)
    out = torch.zeros(batch, queries, heads, dim).to(values)
    item, head = torch.arange(batch)[:, None, None, None], torch.arange(heads)[None, None, :, None]
    start = 0
    for level, (h, w) in enumerate(shapes):
        x, y = at[:, :, :, level, :, 0] * w - 0.5, at[:, :, :, level, :, 1] * h - 0.5
        for j, i in [(0, 0), (1, 0), (0, 1), (1, 1)]:
            column, row = x.floor() + j, y.floor() + i
            there = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            part = (1 - (x - column).abs()) * (1 - (y - row).abs())
            place = start + row.clamp(0, h - 1).long() * w + column.clamp(0, w - 1).long()
            value = values[item, place, head]
            out += ((weights[:, :, :, level] * part * there)[..., None] * value).sum(3)
        start += h * w
    return out.flatten(2)


def theirs_sampled(values, shapes, references, offsets, weights, padding=None):
    """By grid_sample."""
    if padding is not None:
        values = values.masked_fill(padding[:, :, None, None], 0.0)
    batch, _, heads, dim = values.shape
    queries = offsets.shape[1]
    grids = 2 * locations(references, offsets, shapes) - 1
    out = 0
    parts = values.split([h * w for h, w in shapes], 1)
    for level, ((h, w), part) in enumerate(zip(shapes, parts)):
        image = part.permute(0, 2, 3, 1).reshape(batch * heads, dim, h, w)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)
        samples = grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        out = out + (samples * weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, -1)).sum(-1)
    return out.view(batch, heads * dim, queries).transpose(1, 2)


def make_deformable(cases):
    def draw_references(g, b, q, levels, boxes):
        middles = torch.rand(b, q, levels, 2, generator=g) * 1.1 - 0.05
        return torch.cat([middles, torch.rand(b, q, levels, 2, generator=g) * 0.5 + 0.1], -1) if boxes else middles

    def padding_of(g, b, positions):
        return torch.rand(b, positions, generator=g) < 0.2

    for name, (b, q, heads, dim, points), shapes, boxes, padded in [
        ("deform_core_points", (2, 6, 3, 5, 4), [(6, 5), (3, 4)], False, False),
        ("deform_core_boxes", (2, 5, 2, 8, 3), [(7, 4), (4, 2), (2, 1)], True, False),
        ("deform_core_padding", (3, 4, 2, 4, 2), [(5, 6)], False, True),
    ]:
        g, positions = seeded(name), sum(h * w for h, w in shapes)
        inputs = {
            "value": normal(g, b, positions, heads, dim),
            "reference_points": draw_references(g, b, q, len(shapes), boxes),
            "sampling_offsets": normal(g, b, q, heads, len(shapes), points, 2, std=2.0),
            "attention_weights": normal(g, b, q, heads, len(shapes) * points).softmax(-1).unflatten(-1, (-1, points)),
            "spatial_shapes": torch.tensor(shapes),
        }
        if padded:
            inputs["padding_mask"] = padding_of(g, b, positions)
        of = lambda by: lambda t, w: {"out": by(t["value"], shapes, t["reference_points"], t["sampling_offsets"],
                                                t["attention_weights"], t.get("padding_mask"))}
        write(cases, name, "ms_deform_attn", {}, of(sampled), inputs, {}, wide=of(theirs_sampled))

    for name, (b, q, d, heads, points), shapes, boxes, padded in [
        ("deform_points", (2, 7, 24, 4, 4), [(8, 6), (4, 3), (2, 2)], False, False),
        ("deform_boxes", (2, 5, 32, 2, 3), [(6, 7), (3, 4)], True, False),
        ("deform_points_padding", (3, 4, 16, 4, 2), [(5, 4), (3, 2)], False, True),
        ("deform_boxes_padding", (2, 4, 16, 2, 4), [(5, 4), (3, 2)], True, True),
    ]:
        g, positions, levels = seeded(name), sum(h * w for h, w in shapes), len(shapes)
        inputs = {
            "query": normal(g, b, q, d),
            "reference_points": draw_references(g, b, q, levels, boxes),
            "input_flatten": normal(g, b, positions, d),
            "input_spatial_shapes": torch.tensor(shapes),
        }
        if padded:
            inputs["input_padding_mask"] = padding_of(g, b, positions)
        weights = {}
        for part, outputs, std in [("value_proj", d, 1.0), ("sampling_offsets", heads * levels * points * 2, 1.5),
                                   ("attention_weights", heads * levels * points, 1.0), ("output_proj", d, 1.0)]:
            weights |= linear_weights(g, part, outputs, d, std=std)

        def run(t, w):
            values = layer(w, "value_proj", t["input_flatten"]).unflatten(-1, (heads, -1))
            offsets = layer(w, "sampling_offsets", t["query"]).view(b, q, heads, levels, points, 2)
            scores = layer(w, "attention_weights", t["query"]).view(b, q, heads, levels * points)
            attention = torch.softmax(scores, -1).view(b, q, heads, levels, points)
            out = sampled(values, shapes, t["reference_points"], offsets, attention, t.get("input_padding_mask"))
            return {"out": layer(w, "output_proj", out), "attention_weights": attention}

        def theirs(t, w):
            from transformers import DeformableDetrConfig
            from transformers.models.deformable_detr import modeling_deformable_detr as detr

            config = DeformableDetrConfig(d_model=d, num_feature_levels=levels, disable_custom_kernels=True)
            module = detr.DeformableDetrMultiscaleDeformableAttention(config, heads, points).double().eval()
            module.load_state_dict(w)
            mask = t.get("input_padding_mask")
            answer = module(
                hidden_states=t["query"], attention_mask=None if mask is None else ~mask,
                encoder_hidden_states=t["input_flatten"], reference_points=t["reference_points"],
                spatial_shapes=t["input_spatial_shapes"], spatial_shapes_list=shapes)
            return {"out": answer[0], "attention_weights": answer[1].view(b, q, heads, levels, points)}

        attributes = {"d_model": d, "n_levels": levels, "n_heads": heads, "n_points": points}
        write(cases, name, "MSDeformAttn", attributes, run, inputs, weights, wide=theirs)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=pathlib.Path, default=HERE / "vision", help="where to write (default: %(default)s)")
    out = p.parse_args().out
    warnings.filterwarnings("ignore")
    with torch.no_grad():
        cases = Cases(out)
        make_maps(cases)
        make_deformable(cases)
    print(f"{sum(path.stat().st_size for path in out.iterdir())} bytes in {len(list(out.iterdir()))} files")


if __name__ == "__main__":
    main()
