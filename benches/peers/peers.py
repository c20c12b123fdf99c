#!/usr/bin/env python3
"""PyTorch or ONNX Runtime on the tasks of this folder, a JSON object a line: `peers` asks, this answers."""

import json
import sys
import time

import numpy as np


def values(seed, dims, scale=1.0):
    count = int(np.prod(dims))
    with np.errstate(over="ignore"):
        bits = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 40503 % 2**32)
        for _ in range(2):
            bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x45D9F3B5)
        bits ^= bits >> np.uint32(16)
    return ((bits / 2147483648.0 - 1.0) * np.float64(np.float32(scale))).astype(np.float32).reshape(dims)


def matrices(width):
    sizes = [(3 * width, width), (width, width), (4 * width, width), (width, 4 * width)]
    return [(values(10 + 2 * i, size, 1.7 / np.sqrt(np.float32(size[1]))), values(11 + 2 * i, size[:1], 0.1))
            for i, size in enumerate(sizes)]


def torch_task(torch, asked):
    f = torch.nn.functional
    put = torch.from_numpy
    sizes = asked["sizes"]
    if asked["prepare"] == "gemm":
        rows, depth, columns = sizes
        x, w = put(values(1, (rows, depth))), put(values(2, (columns, depth)))
        return lambda: f.linear(x, w)
    if asked["prepare"] == "attention":
        q, k, v = (put(values(seed, sizes)) for seed in (1, 2, 3))
        mask = None
        if asked["keys"] == "lengths":
            mask = torch.arange(sizes[2])[None, None, None] < torch.tensor(asked["lengths"])[:, None, None, None]
        return lambda: f.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=asked["keys"] == "causal")
    batch, length, width, heads = sizes
    x = put(values(1, (batch, length, width)))
    linears = [(put(w), put(b)) for w, b in matrices(width)]

    def layer():
        q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2)
                   for part in f.linear(x, *linears[0]).split(width, dim=-1))
        attended = f.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        y = f.layer_norm(f.linear(attended, *linears[1]) + x, (width,))
        return f.layer_norm(f.linear(f.gelu(f.linear(y, *linears[2])), *linears[3]) + y, (width,))
    return layer


def onnx_task(onnxruntime, asked):
    if asked["prepare"] != "gemm":
        raise ValueError("only gemm is asked of ONNX Runtime")
    from onnx import TensorProto, helper, numpy_helper
    rows, depth, columns = asked["sizes"]
    weight = numpy_helper.from_array(values(2, (columns, depth)), "w")
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    graph = helper.make_graph([node], "gemm", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, depth])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, columns])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = values(1, (rows, depth))
    return lambda: session.run(None, {"x": x})[0]


def main():
    say = lambda **answer: print(json.dumps(answer), flush=True)
    try:
        if sys.argv[1] == "torch":
            import torch
            torch.set_grad_enabled(False)
            name, make = f"PyTorch {torch.__version__.split('+')[0]} CPU", lambda asked: torch_task(torch, asked)
        else:
            import onnxruntime
            name, make = f"ONNX Runtime {onnxruntime.__version__} CPU", lambda asked: onnx_task(onnxruntime, asked)
    except ImportError as error:
        return say(error=f"there is none: {error}")
    say(name=name)
    tasks = []
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "prepare" in asked:
                tasks.append(make(asked))
                say(task=len(tasks) - 1)
            elif "run" in asked:
                work = tasks[asked["run"]]
                wall, processor = time.perf_counter(), time.process_time()
                for _ in range(asked["calls"]):
                    work()
                say(wall=time.perf_counter() - wall, processor=time.process_time() - processor)
            else:
                say(values=np.asarray(tasks[asked["output"]]()).reshape(-1).tolist())
        except Exception as error:  # noqa: BLE001: whatever it is, the row says it
            say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
