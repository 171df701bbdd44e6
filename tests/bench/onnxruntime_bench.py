"""Measures in ONNX Runtime what `repopt-bench inference` measures, on the network that it exports. Prints one JSON object."""

import argparse
import json
import statistics
import time

import numpy
import onnxruntime


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("onnx", help="file that `repopt-bench inference --onnx` wrote")
    parser.add_argument("--model", default="cifar-vgg", help="the network's name, for the table")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.onnx, settings, providers=["CPUExecutionProvider"])
    _, *dims = session.get_inputs()[0].shape
    images = numpy.random.default_rng(0).random((options.batch, *dims), dtype=numpy.float32)

    times = []
    for round_ in range(options.rounds + 1):
        start = time.perf_counter()
        session.run(None, {"images": images})
        if round_ > 0:
            times.append(1e3 * (time.perf_counter() - start))
    median = statistics.median(times)
    values = {
        "bench": "inference",
        "model": options.model,
        "batch": options.batch,
        "threads": options.threads,
        "images_per_second": 1e3 * options.batch / median,
        "milliseconds_median": median,
        "version": onnxruntime.__version__,
    }
    print(json.dumps(values))


if __name__ == "__main__":
    main()
