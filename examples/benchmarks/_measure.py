"""How the benchmarks measure: methods in turn, in one process, medians and their ratios."""

import statistics
import sys
import time
from pathlib import Path

import torch

# The counter of live tensor bytes is the one that the tests use.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from live_memory import LiveMemory


def in_turn(functions, seconds=1.0, most=15):
    """Median seconds of each function: A B C A B C ..., for about so many seconds in all.

    The first round warms up, and is counted only if there is no time for another.
    """
    times = {name: [] for name in functions}
    start = time.perf_counter()
    rounds = 0
    while rounds < 2 or (rounds <= most and time.perf_counter() - start < seconds):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - before)
        rounds += 1
        if rounds == 1 and time.perf_counter() - start > 10 * seconds:
            break
    return {name: statistics.median(t[1:] or t) for name, t in times.items()}


def peak_bytes(function):
    """Bytes of the tensors that `function` had alive at once."""
    with LiveMemory() as memory:
        function()
    return memory.peak


def machine():
    return f"{torch.get_num_threads()} threads, torch {torch.__version__}"
