"""check.py MODEL float|per-channel|per-tensor [uint8|int8]: fails unless python3-onnx accepts an exported network, and
the file has the expected inputs, outputs and operators. A quantized network must have the given scheme and kernel
type."""
import sys

import onnx
from onnx import TensorProto

path, scheme, kernel_type = (sys.argv[1:] + ["uint8"])[:3]
with open(path, "rb") as file:
    content = file.read()
model = onnx.load_from_string(content)
onnx.checker.check_model(model, full_check=True)
assert model.SerializeToString() == content, "libonnx would write other bytes"
assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
assert "0..1" in model.doc_string and {entry.key for entry in model.metadata_props} >= {"model", "mode", "data"}


def dims(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


graph = model.graph
operators = [node.op_type for node in graph.node]
assert [value.name for value in graph.input] == ["images"] and dims(graph.input[0]) == ["batch", 3, 32, 32]
assert [value.name for value in graph.output] == ["logits"] and dims(graph.output[0]) == ["batch", 10]
assert operators.count("Conv") == operators.count("Relu") > 0 and "BatchNormalization" not in operators

constants = {tensor.name: tensor for tensor in graph.initializer}
producers = {node.output[0]: node for node in graph.node}
for layer in (node for node in graph.node if node.op_type in ("Conv", "Gemm")):
    if scheme == "float":
        assert {constants[name].data_type for name in layer.input[1:]} == {TensorProto.FLOAT}
        continue
    x, weight, bias = (producers[name] for name in layer.input)
    assert {x.op_type, weight.op_type, bias.op_type} == {"DequantizeLinear"}
    rounding = producers[x.input[0]]
    if rounding.op_type == "Clip":  # of an activation with fewer bits
        assert constants[rounding.input[2]].data_type == TensorProto.UINT8
        rounding = producers[rounding.input[0]]
    assert rounding.op_type == "QuantizeLinear" and rounding.input[1:] == x.input[1:]
    kernel, scale, zero_point = (constants[name] for name in weight.input)
    assert kernel.data_type == {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}[kernel_type]
    assert list(scale.dims) == list(zero_point.dims) == (list(kernel.dims[:1]) if scheme == "per-channel" else [])
    assert weight.attribute[0].name == "axis" and weight.attribute[0].i == 0
    assert constants[bias.input[0]].data_type == TensorProto.INT32
print(f"{path}: {len(content)} bytes, {len(operators)} operators, sound")
