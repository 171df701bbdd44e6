"""Reads the JSON lines of repopt-bench, pytorch_bench.py and onnxruntime_bench.py from stdin, and prints Markdown tables
of medians and ratios."""

import collections
import json
import statistics
import sys


def medians(lines):
    """Returns {case: {measurement: its median over the rounds}}. A case is a line's values that are not measured."""
    measured = ("images_per_second", "milliseconds_median", "peak_rss_mb", "gigaflops_per_second")
    rounds = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in lines:
        values = json.loads(line)
        ignored = measured + ("first_loss", "last_loss", "gigabytes_per_second", "parameters")
        case = tuple(sorted((k, v) for k, v in values.items() if k not in ignored))
        for name in measured:
            if name in values:
                rounds[case][name].append(values[name])
    return {case: {n: statistics.median(v) for n, v in numbers.items()} for case, numbers in rounds.items()}


def find(table, **wanted):
    """Returns (case, measurements) for every case that has these values."""
    return [(dict(c), m) for c, m in table.items() if all(dict(c).get(k) == v for k, v in wanted.items())]


def fastest(found):
    return min(found, key=lambda entry: entry[1]["milliseconds_median"])


def row(*cells):
    print("| " + " | ".join(f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells) + " |")


def head(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def step_row(name, case, m, rivals):
    ours_cells = [name, case["threads"], case["batch"], m["images_per_second"], m["peak_rss_mb"]]
    if not rivals:
        row(*ours_cells, "", "", "", "")
        return
    rival_case, rival = fastest(rivals)
    memory = min(r["peak_rss_mb"] for _, r in rivals)
    row(
        *ours_cells,
        f"{rival['images_per_second']:.2f} ({rival_case['format']})",
        memory,
        m["images_per_second"] / rival["images_per_second"],
        m["peak_rss_mb"] / memory,
    )


def step_table(table):
    head("whole step", "threads", "batch", "images/s", "MiB", "PyTorch images/s", "MiB", "ratio", "memory")
    ours = find(table, bench="step", source="repopt")
    for case, m in sorted(ours, key=lambda e: (e[0]["model"], e[0]["mode"], e[0]["threads"], -e[0]["batch"])):
        is_plain = case["conv_algorithm"] == "plain"
        same = {k: case[k] for k in ("model", "threads", "batch")}
        rivals = find(table, bench="step", source="pytorch", mode=case["mode"], **same)
        name = f"{case['model']}, {case['mode']}"
        step_row(name + (", plain convolutions" if is_plain else ""), case, m, rivals)
        repvgg = find(table, bench="step", source="pytorch", mode="repvgg", **same)
        if case["mode"] == "rep" and repvgg and not is_plain:
            step_row(name + ", beside PyTorch's repvgg", case, m, repvgg)


def inference_table(table):
    head("inference", "threads", "batch", "images/s", "ONNX Runtime images/s", "ratio")
    ours = find(table, bench="inference", source="repopt")
    for case, m in sorted(ours, key=lambda e: (e[0]["model"], e[0]["threads"], e[0]["batch"])):
        same = {k: case[k] for k in ("model", "threads", "batch")}
        cells = [case["model"], case["threads"], case["batch"], m["images_per_second"]]
        rivals = find(table, bench="inference", source="onnxruntime", **same)
        speed = rivals[0][1]["images_per_second"] if rivals else None
        row(*cells, *([speed, m["images_per_second"] / speed] if rivals else ["", ""]))


def optimizer_table(table):
    for threads in sorted({dict(c)["threads"] for c in table if dict(c)["bench"] == "optimizer"}):
        found = find(table, bench="optimizer", threads=threads)
        base = find(table, bench="optimizer", threads=threads, variant="RepSgd")
        if not base:
            continue
        base_ms = base[0][1]["milliseconds_median"]
        head(f"optimizer step, B1, threads {threads}", "ms", "times RepSgd's")
        for case, m in found:
            row(case["source"] + ": " + case["variant"], m["milliseconds_median"], m["milliseconds_median"] / base_ms)


def conv_table(table):
    head("3x3 convolution", "pass", "threads", "GF/s", "PyTorch GF/s", "ratio")
    for case, m in find(table, bench="conv", source="repopt"):
        shape = {k: case[k] for k in ("in_channels", "out_channels", "size", "stride", "pass", "threads", "batch")}
        rivals = find(table, bench="conv", source="pytorch", **shape)
        if not rivals:
            continue
        rival_case, rival = fastest(rivals)
        row(
            f"{case['in_channels']} to {case['out_channels']}, {case['size']}x{case['size']}, stride {case['stride']}",
            case["pass"],
            case["threads"],
            m["gigaflops_per_second"],
            f"{rival['gigaflops_per_second']:.2f} ({rival_case['format']})",
            rival["milliseconds_median"] / m["milliseconds_median"],
        )


def compile_table(table):
    head("a file that includes", "seconds", "compiler's MiB")
    for case, m in sorted(find(table, bench="compile"), key=lambda e: e[1]["milliseconds_median"]):
        row(case["file"], m["milliseconds_median"] / 1e3, m["peak_rss_mb"])


def main():
    table = medians(line for line in sys.stdin if line.startswith("{"))
    benches = {dict(case)["bench"] for case in table}
    shows = {
        "step": step_table,
        "inference": inference_table,
        "optimizer": optimizer_table,
        "conv": conv_table,
        "compile": compile_table,
    }
    for name, show in shows.items():
        if name in benches:
            show(table)
    for source, version in sorted({(dict(c)["source"], dict(c)["version"]) for c in table if "version" in dict(c)}):
        print(f"\n{source} {version}")


if __name__ == "__main__":
    main()
