"""compare.py MODEL REFERENCE [OPTIMIZATION]: runs an ONNX network on the pictures of a file of onnx_reference and
prints one JSON object: the largest difference of the logits from those in the file, and how often both name the same
class. OPTIMIZATION is ONNX Runtime's graph optimization level, all (the default) or disabled. compare.js does the same
in node."""
import json
import sys

import numpy
import onnxruntime


def read_safetensors(path):
    """The float tensors of a safetensors file, by name."""
    with open(path, "rb") as file:
        content = file.read()
    data = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:data]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: tensor '{name}' is {entry['dtype']}, expected is F32")
        begin, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(content[data + begin : data + end], "<f4").reshape(entry["shape"])
    return tensors


def open_session(path, optimization):
    levels = {
        "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "disabled": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = levels[optimization]
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main(model, reference, optimization="all"):
    tensors = read_safetensors(reference)
    images, expected = tensors["images"], tensors["logits"]
    session = open_session(model, optimization)
    # The first batch is one picture, and the others are larger, because the network must take any batch size.
    bounds = [0, *range(1, len(images), 100), len(images)]
    batches = [images[begin:end] for begin, end in zip(bounds, bounds[1:])]
    logits = numpy.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])
    result = {
        "model": model,
        "runtime": f"onnxruntime {onnxruntime.__version__} from PyPI",
        "optimization": optimization,
        "images": len(logits),
        "difference": float(numpy.abs(logits - expected).max()),
        "largest": float(numpy.abs(expected).max()),
        "agreement": float((logits.argmax(axis=1) == expected.argmax(axis=1)).mean()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
