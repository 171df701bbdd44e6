"""Measures in PyTorch what repopt-bench measures here, and prints one JSON object a line.

step:       training steps of a network. --mode rep multiplies the gradients by a dense GradMult, as the method would be
            written in PyTorch; plain trains the plain network; repvgg trains the network with RepVGG's blocks, and
            hyper_search every branch with a trained scale
optimizer:  optimizer steps on RepOpt-VGG-B1's kernels
conv:       single 3x3 convolutions, pass by pass
"""

import argparse
import dataclasses
import json
import resource
import statistics
import time

import torch
from torch import nn


@dataclasses.dataclass
class Network:
    """The dimensions of a plain network, as VggConfig has them."""

    stem: int
    widths: tuple
    blocks: tuple
    strides: tuple
    classes: int
    size: int  # height and width of a picture

    def shapes(self):
        """(in_channels, out_channels, stride) of every 3x3 convolution."""
        shapes, channels = [(3, self.stem, self.strides[0])], self.stem
        for width, count, stride in zip(self.widths, self.blocks, self.strides[1:]):
            for index in range(count):
                shapes.append((channels, width, stride if index == 0 else 1))
                channels = width
        return shapes


CIFAR, IMAGENET = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2)
NETWORKS = {
    "cifar-vgg": Network(64, (64, 128, 256, 512), (2, 4, 6, 1), CIFAR, 10, 32),
    "cifar-deep": Network(16, (16, 32, 64, 128), (4, 6, 16, 1), CIFAR, 10, 32),
    "A0": Network(48, (48, 96, 192, 1280), (2, 4, 14, 1), IMAGENET, 1000, 224),
    "B1": Network(64, (128, 256, 512, 2048), (4, 6, 16, 1), IMAGENET, 1000, 224),
}


class PlainBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu_(self.bn(self.conv(x)))


class RepVggBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv_3x3 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn_3x3 = nn.BatchNorm2d(outputs)
        self.conv_1x1 = nn.Conv2d(inputs, outputs, 1, stride, 0, bias=False)
        self.bn_1x1 = nn.BatchNorm2d(outputs)
        self.bn_identity = nn.BatchNorm2d(outputs) if inputs == outputs and stride == 1 else None

    def forward(self, x):
        y = self.bn_3x3(self.conv_3x3(x)) + self.bn_1x1(self.conv_1x1(x))
        if self.bn_identity is not None:
            y = y + self.bn_identity(x)
        return torch.relu_(y)


class SearchBlock(nn.Module):
    """Hyper-Search's block: every branch is computed, and a trained scale for each channel follows it."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.scale_conv = nn.Parameter(torch.ones(1, outputs, 1, 1))
        self.conv_1x1 = nn.Conv2d(inputs, outputs, 1, stride, 0, bias=False)
        self.scale_1x1 = nn.Parameter(torch.ones(1, outputs, 1, 1))
        has_identity = inputs == outputs and stride == 1
        self.scale_identity = nn.Parameter(torch.ones(1, outputs, 1, 1)) if has_identity else None
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.scale_conv * self.conv(x) + self.scale_1x1 * self.conv_1x1(x)
        if self.scale_identity is not None:
            y = y + self.scale_identity * x
        return torch.relu_(self.bn(y))


BLOCKS_OF_MODES = {"rep": PlainBlock, "plain": PlainBlock, "repvgg": RepVggBlock, "hyper_search": SearchBlock}


def make_model(block, network):
    return nn.Sequential(
        *[block(*shape) for shape in network.shapes()],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(network.widths[-1], network.classes),
    )


def grad_mult(weight):
    """The dense GradMult of a block, with scales of 1: 1 everywhere, 1 more at the centre tap, and there 1 more on the
    diagonal if the block has as many outputs as inputs."""
    mult = torch.full_like(weight, 1.0)
    mult[:, :, 1, 1] += 1.0
    if weight.shape[0] == weight.shape[1]:
        mult[:, :, 1, 1] += torch.eye(weight.shape[0])
    return mult


def milliseconds(run):
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def peak_rss_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(**values):
    print(json.dumps({**values, "threads": torch.get_num_threads(), "version": torch.__version__}), flush=True)


def sgd(parameters, **how):
    """SGD with momentum and weight decay. Their values do not change the work."""
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=4e-5, nesterov=True, **how)


def fused_or_foreach():
    """The option of PyTorch's fastest optimizer steps on a CPU: fused ones, which came with 2.4."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return {"fused": True} if version >= (2, 4) else {"foreach": True}


def bench_step(options):
    # A first small step makes PyTorch load its libraries. That is start-up time and memory, not training.
    network = NETWORKS[options.model]
    make_model(PlainBlock, NETWORKS["cifar-deep"])(torch.randn(2, 3, 32, 32)).sum().backward()
    start_mb = peak_rss_mb()
    memory_format = torch.contiguous_format if options.format.startswith("nchw") else torch.channels_last
    model = make_model(BLOCKS_OF_MODES[options.mode], network).to(memory_format=memory_format)
    kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    masks = [grad_mult(k.detach()) for k in kernels] if options.mode == "rep" else []
    optimizer = sgd(model.parameters(), **fused_or_foreach())
    images = torch.randn(options.batch, 3, network.size, network.size).to(memory_format=memory_format)
    labels = torch.arange(options.batch) * 7 % network.classes
    forward = torch.compile(model) if options.format.endswith("compiled") else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(forward(images), labels).backward()
        if masks:
            torch._foreach_mul_([k.grad for k in kernels], masks)
        optimizer.step()

    step()
    times = [milliseconds(step) for _ in range(options.rounds)]
    median = statistics.median(times)
    report(
        bench="step",
        model=options.model,
        mode=options.mode,
        format=options.format,
        batch=options.batch,
        images_per_second=1e3 * options.batch / median,
        milliseconds_median=median,
        peak_rss_mb=peak_rss_mb() - start_mb,
    )


def bench_optimizer(options):
    parameters = [nn.Parameter(torch.full((o, i, 3, 3), 0.01)) for i, o, _ in NETWORKS["B1"].shapes()]
    for p in parameters:
        p.grad = torch.full_like(p, 0.01)
    masks = [grad_mult(p.detach()) for p in parameters]
    optimizers = {"SGD": sgd(parameters, foreach=False), "foreach SGD": sgd(parameters, foreach=True)}
    optimizers["foreach AdamW"] = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=4e-5, foreach=True)
    if "fused" in fused_or_foreach():
        optimizers["fused SGD"] = sgd(parameters, fused=True)
        optimizers["fused AdamW"] = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=4e-5, fused=True)

    def with_masks(optimizer):
        torch._foreach_mul_([p.grad for p in parameters], masks)
        optimizer.step()

    variants = {f"GradMult and {name}": lambda o=o: with_masks(o) for name, o in optimizers.items()}
    variants.update((f"{name} alone", optimizers[name].step) for name in optimizers if name.startswith("fused"))
    times = {name: [] for name in variants}
    for round_ in range(options.rounds + 1):
        for name, run in variants.items():
            ms = milliseconds(run)
            if round_ > 0:
                times[name].append(ms)
    for name, values in times.items():
        report(bench="optimizer", variant=name, milliseconds_median=statistics.median(values))


def bench_conv(options):
    memory_format = torch.channels_last if options.format == "nhwc" else torch.contiguous_format
    backward = torch.ops.aten.convolution_backward
    for inputs, outputs, size, stride in (
        (64, 64, 32, 1),
        (128, 128, 16, 1),
        (256, 256, 8, 1),
        (512, 512, 4, 1),
        (64, 128, 32, 2),
        (128, 256, 16, 2),
        (256, 512, 8, 2),
    ):
        x = torch.randn(options.batch, inputs, size, size).to(memory_format=memory_format)
        weight = torch.randn(outputs, inputs, 3, 3).to(memory_format=memory_format)
        grad_y = torch.randn(options.batch, outputs, size // stride, size // stride).to(memory_format=memory_format)

        def gradient(mask):
            return backward(grad_y, x, weight, [0], [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, mask)

        passes = {
            "forward": lambda: nn.functional.conv2d(x, weight, None, stride, 1),
            "backward_data": lambda: gradient([True, False, False]),
            "backward_weight": lambda: gradient([False, True, False]),
        }
        with torch.no_grad():
            for name, run in passes.items():
                run()
                median = statistics.median(milliseconds(run) for _ in range(options.rounds))
                report(
                    bench="conv",
                    in_channels=inputs,
                    out_channels=outputs,
                    size=size,
                    stride=stride,
                    **{"pass": name},
                    format=options.format,
                    batch=options.batch,
                    milliseconds_median=median,
                    gigaflops_per_second=2e-6 * grad_y.numel() * 9 * inputs / median,
                )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=("step", "optimizer", "conv"))
    parser.add_argument("--mode", choices=("rep", "plain", "repvgg", "hyper_search"), default="rep")
    parser.add_argument("--model", choices=NETWORKS, default="cifar-vgg")
    formats = ("nchw", "nhwc", "nchw compiled", "nhwc compiled")
    parser.add_argument("--format", choices=formats, default="nhwc", help="compiled: by torch.compile")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    {"step": bench_step, "optimizer": bench_optimizer, "conv": bench_conv}[options.bench](options)


if __name__ == "__main__":
    main()
