"""What each parameter does: a sweep and a picture each, for the page "Choosing parameters".

    python examples/benchmarks/choosing_parameters.py [NAME ...] [--pictures FOLDER]

Handwritten digits (load_digits), 500 training samples and 1297 held-out ones, three random splits.
Prints the held-out accuracy of 15 nearest neighbors behind the embedding, with correct training
labels and with 30 % wrong ones. A picture shows these accuracies, and held-out codes in two
dimensions (correct labels, first split) for three of the values.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

#: Of each sweep: the parameter, its values, the three that are drawn, and what else is set.
SWEEPS = {
    "temperature": ("temperature", [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0], [0.03, 1.0, 30.0], {}),
    "metric": (
        "temperature",
        [0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
        [0.01, 0.1, 3.0],
        {"metric": "cosine"},
    ),
    "n_components": ("n_components", [1, 2, 4, 8, 16, 32, 64], [1, 2, 32], {}),
    "hidden_layer_sizes": (
        "hidden_layer_sizes",
        [(), (16,), (64, 64), (256, 256), (512, 512), (256, 256, 256)],
        [(), (256, 256), (256, 256, 256)],
        {},
    ),
    "dropout": ("dropout", [0.0, 0.2, 0.5, 0.8, 0.9], [0.0, 0.2, 0.9], {}),
    "adversarial_radius": (
        "adversarial_radius",
        [0.0, 0.35, 0.7, 1.4, 2.8, 5.6],
        [0.0, 0.7, 5.6],
        {},
    ),
    "max_iter": ("max_iter", [3, 10, 20, 55, 100, 200], [3, 55, 200], {"early_stopping": False}),
    "early_stopping": ("early_stopping", ["auto", True, False], ["auto", True, False], {}),
    "q": ("q", ["auto", 0.0, 0.3, 0.5, 0.7, 0.9], [0.0, 0.7, 0.9], {"early_stopping": False}),
}
SPLITS = 3
WRONG = 0.3


def split(seed):
    """Training samples, their labels correct and partly wrong, held-out samples and labels."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, train_size=500, stratify=y, random_state=seed)
    random = np.random.default_rng(seed)
    wrong = np.where(random.random(len(y)) < WRONG, (y + random.integers(1, 10, len(y))) % 10, y)
    return X, y, wrong, X_test, y_test


def accuracies(settings):
    """Mean accuracy over the splits: with correct training labels, with wrong ones."""
    of_splits = []
    for seed in range(SPLITS):
        X, y, wrong, X_test, y_test = split(seed)
        of_labels = []
        for labels in (y, wrong):
            embedding = SNNLEmbedding(random_state=seed, **settings).fit(X, labels)
            knn = KNeighborsClassifier(15).fit(embedding.transform(X), labels)
            of_labels.append(knn.score(embedding.transform(X_test), y_test))
        of_splits.append(of_labels)
    return np.mean(of_splits, axis=0)


def draw_codes(ax, settings):
    X, y, _, X_test, y_test = split(0)
    settings = {"n_components": 2, **settings}
    codes = SNNLEmbedding(random_state=0, **settings).fit(X, y).transform(X_test)
    if codes.shape[1] == 1:  # spread vertically, so that points do not hide each other
        codes = np.column_stack([codes, np.random.default_rng(0).random(len(codes))])
    elif codes.shape[1] > 2:
        codes = PCA(2).fit_transform(codes)
    ax.scatter(*codes.T, c=y_test, cmap="tab10", s=4)
    ax.set(xticks=[], yticks=[])


def sweep(name, folder):
    parameter, values, drawn, others = SWEEPS[name]
    print(f"\n{name}" + "".join(f", {key}={value!r}" for key, value in others.items()))
    results = []
    for value in values:
        results.append(accuracies({**others, parameter: value}))
        print(f"| {value!r} | {results[-1][0]:.3f} | {results[-1][1]:.3f} |", flush=True)
    if folder is None:
        return

    figure, axes = plt.subplots(2, 2, figsize=(6.4, 6), layout="constrained")
    lines = axes.flat[0]
    for label, line in zip(
        ("correct labels", "30 % wrong labels"), np.transpose(results), strict=True
    ):
        lines.plot(range(len(values)), line, marker="o", label=label)
    lines.set_xticks(range(len(values)), [str(value) for value in values], fontsize="small")
    if max(len(str(value)) for value in values) > 8:
        lines.tick_params(axis="x", rotation=30)
    lines.set(xlabel=parameter, title="held-out accuracy, 15-NN")
    lines.grid(alpha=0.3)
    figure.legend(*lines.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    for ax, value in zip(axes.flat[1:], drawn, strict=True):
        draw_codes(ax, {**others, parameter: value})
        title = f"{parameter}={value!r}"
        ax.set_title(title if len(title) < 28 else title.replace("=", "=\n"))
    path = folder / f"parameter_{name}.png"
    figure.savefig(path, dpi=100)
    plt.close(figure)
    # A palette makes the file several times smaller.
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SWEEPS))
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where to save them")
    arguments = parser.parse_args()
    for chosen in arguments.names or SWEEPS:
        sweep(chosen, arguments.pictures)
