"""Measures the cost of including the library: compiles files that contain only #include lines, and prints one JSON
object for each file, with the milliseconds and the compiler's peak memory."""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "include"


def headers(*folders):
    return [str(h.relative_to(INCLUDE)) for folder in folders for h in sorted((INCLUDE / "repopt" / folder).glob("*.hpp"))]


CASES = {
    "<vector>, <string>, <span>": ["vector", "string", "span"],
    "all of repopt/core and repopt/optim": headers("core", "optim"),
    "<Eigen/Core>": ["Eigen/Core"],
    "repopt/repopt.hpp": ["repopt/repopt.hpp"],
}


def compile_file(options, includes):
    """Compiles a file with these includes. Returns (seconds, peak MiB of the compiler's process)."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "file.cpp"
        source.write_text("".join(f"#include <{name}>\n" for name in includes))
        command = [options.compiler, "-std=c++20", "-O2", "-I", str(INCLUDE), "-isystem", options.eigen, "-c", str(source)]
        start = time.perf_counter()
        process = subprocess.Popen([*command, "-o", str(source.with_suffix(".o"))])
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"{' '.join(command)} failed")
        return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--eigen", default="/usr/include/eigen3", help="folder that holds Eigen/Core")
    options = parser.parse_args()
    for name, includes in CASES.items():
        seconds, mb = compile_file(options, includes)
        print(json.dumps({"bench": "compile", "file": name, "milliseconds_median": 1e3 * seconds, "peak_rss_mb": mb}))


if __name__ == "__main__":
    main()
