"""The cost in time of each parameter of `SNNLEmbedding`.

python examples/benchmarks/parameter_costs.py [--json docs/figures/parameter_costs.json]

`fit` on the digits, 10 epochs, in one thread: at the defaults and with one parameter changed, in
turn, as a table of medians. The check for overfitting (`early_stopping="auto"`) is off, because it
may change the number of epochs. On data of another shape, the times differ: measure.
"""

import argparse
import sys
from pathlib import Path

import torch
from _measure import in_turn, machine
from sklearn.datasets import load_digits

from sknca import SNNLEmbedding

sys.path.insert(0, str(Path(__file__).parents[1]))
from _figures import table, write_figures

COLUMNS = {
    "parameter": "`{parameter}`",
    "time": "{seconds:.2f} s",
    "of the defaults": "{ratio:.2f}",
}
CHANGES = [
    {},
    {"adversarial_radius": 0.0},
    {"adversarial_fraction": 1.0},
    {"dropout": 0.0},
    {"batch_size": 128},
    {"batch_size": 1024},
    {"hidden_layer_sizes": (256,)},
    {"hidden_layer_sizes": (512, 512)},
    {"n_components": 8},
    {"metric": "cosine", "temperature": 0.1},
    {"activation": "silu"},
    {"q": 0.0},
    {"layers": "all"},
    {"temperature_schedule": "learned"},
    {"primary_loss": "classification"},
    {"primary_loss": "reconstruction"},
]


def main(path):
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    common = {"max_iter": 10, "early_stopping": False, "random_state": 0, "device": "cpu"}
    functions = {
        ", ".join(f"{name}={value!r}" for name, value in change.items())
        or "defaults": lambda change=change: SNNLEmbedding(**common | change).fit(X, y)
        for change in CHANGES
    }
    seconds = in_turn(functions, seconds=60, most=5)
    print(f"{machine()}; digits, 10 epochs\n")
    rows = [
        {"parameter": name, "seconds": value, "ratio": value / seconds["defaults"]}
        for name, value in seconds.items()
    ]
    print(table(COLUMNS, rows), end="")
    if path is not None:
        write_figures(path, COLUMNS, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to a file")
    main(parser.parse_args().json)
