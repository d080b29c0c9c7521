"""onnxruntime: prediction of one row, one thread, in float64 and float32."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from timing import Contender

NAME = "onnxruntime"
OPSET, IR = 17, 8


def version():
    return onnxruntime.__version__


def _session(task, dtype):
    kind = TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
    nodes, constants, name = [], [], "x"
    for l, (W, b) in enumerate(zip(task.weights, task.biases), 1):
        constants += [
            numpy_helper.from_array(W.astype(dtype), f"W{l}"),
            numpy_helper.from_array(b.astype(dtype), f"b{l}"),
        ]
        nodes += [
            helper.make_node("Gemm", [name, f"W{l}", f"b{l}"], [f"a{l}"]),
            helper.make_node("Sigmoid", [f"a{l}"], [f"z{l}"]),
        ]
        name = f"z{l}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", kind, [1, task.sizes[0]])],
        [helper.make_tensor_value_info(name, kind, [1, task.sizes[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]), name


def prediction(task):
    """Forms: run with a dict, and run with buffers bound once."""
    contenders = []
    for dtype in (np.float64, np.float32):
        double = dtype == np.float64
        session, output = _session(task, dtype)
        feed = {"x": task.x.reshape(1, -1).astype(dtype)}
        value = onnxruntime.OrtValue.ortvalue_from_numpy(feed["x"])
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", value)
        result = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty((1, task.sizes[-1]), dtype))
        binding.bind_ortvalue_output(output, result)
        labels = {
            "name": NAME if double else "onnxruntime f32",
            "precision": np.dtype(dtype).name,
            "tolerance": 1e-9 if double else 1e-5,
        }

        def run(k, session=session, feed=feed):
            for _ in range(k):
                session.run(None, feed)

        def run_bound(k, session=session, binding=binding):
            for _ in range(k):
                session.run_with_iobinding(binding)

        def check_bound(session=session, binding=binding, result=result):
            session.run_with_iobinding(binding)
            return result.numpy()[0]

        contenders += [
            Contender(
                run=run, check=lambda session=session, feed=feed: session.run(None, feed)[0][0], form="run", **labels
            ),
            Contender(run=run_bound, check=check_bound, form="run_with_iobinding", **labels),
        ]
    return contenders
