"""check.py MODEL: fails unless python3-onnx accepts an exported network and finds in it what its file promises."""
import sys

import onnx

path = sys.argv[1]
with open(path, "rb") as file:
    content = file.read()
model = onnx.load_from_string(content)
onnx.checker.check_model(model, full_check=True)
assert model.SerializeToString() == content, "libonnx would write other bytes"
assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]


def dims(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


graph = model.graph
operators = [node.op_type for node in graph.node]
assert [value.name for value in graph.input] == ["images"] and dims(graph.input[0]) == ["batch", 3, 32, 32]
assert [value.name for value in graph.output] == ["logits"] and dims(graph.output[0]) == ["batch", 10]
assert operators.count("Conv") == operators.count("Relu") > 0 and "BatchNormalization" not in operators
assert "0..1" in model.doc_string and {entry.key for entry in model.metadata_props} >= {"model", "mode", "data"}
print(f"{path}: {len(content)} bytes, {len(operators)} operators, sound")
