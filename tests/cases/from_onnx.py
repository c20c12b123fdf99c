#!/usr/bin/env python3
"""Writes ONNX's own node tests into the folder onnx beside this file, as case files; README.md describes them.

    pip install onnx==1.23.2 numpy safetensors
    python from_onnx.py [--out FOLDER]

Inputs and answers are those of the package `onnx` (Apache-2.0), whose seeds are fixed, so that every run writes the same.
"""

import argparse
import json
import pathlib
import shutil
import warnings

import ml_dtypes
import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from onnx.reference.ops.op_attention import _compute_attention
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
OPS = ["Attention", "Gelu", "Gemm", "LayerNormalization", "MatMul", "RMSNormalization", "RotaryEmbedding", "Softmax"]
NARROW = (np.float16, ml_dtypes.bfloat16)


def attribute(value):
    return value.decode() if isinstance(value, bytes) else value


def tolerance(case, attributes, inputs, expected):
    """ONNX's own, but for f16 and bf16, where its answers come from arithmetic in that type."""
    narrow = [value.dtype for value in inputs.values() if value.dtype in NARROW]
    if not narrow:
        return case.rtol, case.atol, ""
    wide = {name: value.astype(np.float64) if value.dtype in NARROW else value for name, value in inputs.items()}
    attributes = {name: value for name, value in attributes.items() if name != "softmax_precision"}
    answers = _compute_attention(**wide, **attributes)
    names = ["Y", "present_key", "present_value", "qk_matmul_output"]
    exact = {name: answers[names.index(name)] for name in expected}
    # The fewest units in the last place (a power of two) of which ONNX's own rounding takes at most half. An answer
    # near 0 is a difference of larger ones, so that the largest answer has a part in the bound.
    eps = float(ml_dtypes.finfo(narrow[0]).eps)
    units = 1
    while True:
        rtol = units * eps
        atol = rtol / 8 * max(float(np.abs(value).max()) for value in exact.values())
        share = max(float((np.abs(expected[name].astype(np.float64) - exact[name])
                           / (atol + rtol * np.abs(expected[name].astype(np.float64)))).max()) for name in exact)
        if share <= 0.5:
            return rtol, atol, f"; {units} units of {narrow[0]}, ONNX's own rounding uses {share:.2f} of it"
        units *= 2
        assert units <= 16, (case.name, share)


def write(folder, case):
    node, = case.model.graph.node
    schema = onnx.defs.get_schema(node.op_type)
    (given, answers), = case.data_sets
    values = dict(zip([value.name for value in case.model.graph.input], map(np.asarray, given), strict=True))
    results = dict(zip([value.name for value in case.model.graph.output], map(np.asarray, answers), strict=True))
    inputs = {formal.name: values[name] for formal, name in zip(schema.inputs, node.input) if name}
    expected = {formal.name: results[name] for formal, name in zip(schema.outputs, node.output) if name}
    attributes = {a.name: attribute(onnx.helper.get_attribute_value(a)) for a in node.attribute}
    rtol, atol, note = tolerance(case, attributes, inputs, expected)
    header = {"op": node.op_type, "attributes": attributes, "rtol": rtol, "atol": atol,
              "source": f"onnx {onnx.__version__} {case.name}{note}"}
    tensors = inputs | {f"expected.{name}": value for name, value in expected.items()}
    tensors = {name: np.array(value, order="C") for name, value in tensors.items()}
    path = folder / f"{case.name.removeprefix('test_')}.safetensors"
    save_file(tensors, path, {"case": json.dumps(header)})
    if note:
        print(f"  {case.name}: rtol {rtol:.1e}, atol {atol:.1e}{note}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "onnx", help="where to write (default: %(default)s)")
    out = parser.parse_args().out
    warnings.filterwarnings("ignore")  # numpy's on infinities, which the tests mean to have
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for case in collect_testcases(None):
        nodes = case.model.graph.node
        # The expanded ones are other ops, to the same answers.
        if len(nodes) == 1 and nodes[0].op_type in OPS and "expanded" not in case.name:
            write(out, case)
    files = list(out.iterdir())
    print(f"{sum(path.stat().st_size for path in files)} bytes in {len(files)} files")


if __name__ == "__main__":
    main()
