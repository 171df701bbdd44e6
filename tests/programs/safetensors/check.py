"""check.py SAFETENSORS_COPY: the package `safetensors` writes a file, the library reads it and writes it again, and the
package reads the result. Tensors must be the same bit for bit, and metadata the same texts. Exits with 77, skipped, if
the package is missing."""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as error:
    print(f"skipped: {error}; tests/programs/python_packages.sh installs it")
    sys.exit(77)


def read(path):
    """Returns the tensors and the metadata of a file."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def main(program):
    random = numpy.random.default_rng(0)
    tensors = {
        "conv.weight": random.standard_normal((4, 3, 3, 3)).astype(numpy.float32),
        "double": random.standard_normal((2, 5)),
        "limits": numpy.array([0.0, -0.0, numpy.inf, -numpy.inf, numpy.nan, 5e-324, 1.7976931348623157e308]),
        "scalar": numpy.array(0.1, dtype=numpy.float32),
        "empty": numpy.zeros((0, 3), dtype=numpy.float32),
        'names "quoted" \\ ü': numpy.ones(1),
    }
    metadata = {"mode": "rep", "text": 'line\n"quoted" ü', "empty": ""}
    with tempfile.TemporaryDirectory() as folder:
        written, copied = pathlib.Path(folder, "written"), pathlib.Path(folder, "copied")
        for texts in (metadata, None):
            save_file(tensors, written, metadata=texts)
            subprocess.run([program, written, copied], check=True)
            values, copied_texts = read(copied)
            checksum = set(copied_texts) - set(texts or {})
            assert {k: v for k, v in copied_texts.items() if k not in checksum} == (texts or {}), copied_texts
            assert len(checksum) == 1, f"the writer adds its checksum alone: {checksum}"
            assert values.keys() == tensors.keys(), values.keys()
            for name, expected in tensors.items():
                value = values[name]
                assert (value.dtype, value.shape) == (expected.dtype, expected.shape), (name, value.dtype, value.shape)
                assert value.tobytes() == expected.tobytes(), name
    print(f"{len(tensors)} tensors agree")


if __name__ == "__main__":
    main(sys.argv[1])
