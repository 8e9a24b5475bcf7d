"""k-means on the codes of an autoencoder with the soft nearest neighbor loss.

    python examples/benchmarks/kmeans_on_codes.py mnist [--seeds 5]

After Agarap and Azcarraga (2020): the autoencoder x-500-500-2000-d-2000-500-500-x is trained on
10000 labeled training samples. k-means on the codes of the official TEST samples is scored by
cluster accuracy (ACC), normalized mutual information (NMI) and adjusted Rand index (ARI). Their
figures are the best of four runs; ours are the mean and standard deviation over the seeds, each
with other labeled samples. The other training samples are not used. During training, the layers of
the encoder are batch-normalized and get Gaussian noise. There are no adversarial examples.
"""

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.preprocessing import FunctionTransformer
from torch import nn
from tqdm import tqdm

from sknca import SNNLEmbedding
from sknca.metrics import clustering_accuracy

sys.path.insert(0, str(Path(__file__).parents[1]))
from _datasets import load_images

N_LABELED = 10_000
N_NCA = 2_000
PUBLISHED = {
    "mnist": (0.962, 0.903, 0.918),
    "fashion_mnist": (0.856, 0.767, 0.729),
    "emnist_balanced": (0.792, 0.783, 0.655),
}


class GaussianNoise(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x + self.scale * torch.randn_like(x) if self.training else x


def encoder(n_features, n_components):
    widths = [n_features, 500, 500, 2000]
    layers = [GaussianNoise(0.3)]
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out)]
        layers += [GaussianNoise(0.2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_components))


def decoder(n_components, n_features):
    widths = [n_components, 2000, 500, 500]
    layers = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_features))


def autoencoder(seed, snnl_weight):
    return SNNLEmbedding(
        32,
        encoder=encoder,
        decoder=decoder,
        metric="cosine",
        temperature=0.2,
        primary_loss="reconstruction",
        snnl_weight=snnl_weight,
        max_iter=50,
        random_state=seed,
    )


def methods(seed):
    """Each method, and on how many of the labeled rows it is fitted."""
    return {
        "raw pixels": (FunctionTransformer(), N_LABELED),
        "PCA, 32 components": (PCA(32, random_state=seed), N_LABELED),
        f"NCA, 32 components, {N_NCA} rows": (
            NeighborhoodComponentsAnalysis(32, init="pca", random_state=seed),
            N_NCA,
        ),
        "autoencoder": (autoencoder(seed, snnl_weight=0), N_LABELED),
        "autoencoder with SNNL": (autoencoder(seed, snnl_weight=1), N_LABELED),
    }


def main(name, n_seeds):
    X_train, y_train, X_test, y_test = load_images(name)
    n_classes = len(np.unique(y_train))
    scores = {}
    with tqdm(total=n_seeds * len(methods(0)), unit="fit") as bar:
        for seed in range(n_seeds):
            X, _, y, _ = train_test_split(
                X_train, y_train, train_size=N_LABELED, stratify=y_train, random_state=seed
            )
            for method, (transformer, n_rows) in methods(seed).items():
                bar.set_description(method)
                start = time.perf_counter()
                codes = transformer.fit(X[:n_rows], y[:n_rows]).transform(X_test)
                seconds = time.perf_counter() - start
                clusters = KMeans(n_classes, n_init=10, random_state=seed).fit_predict(codes)
                result = (
                    clustering_accuracy(y_test, clusters),
                    normalized_mutual_info_score(y_test, clusters),
                    adjusted_rand_score(y_test, clusters),
                    seconds,
                )
                scores.setdefault(method, []).append(result)
                bar.update()
    print(f"{name}: k-means with {n_classes} clusters on test codes, {n_seeds} seeds; ", end="")
    print(f"{N_LABELED} labeled training rows; {torch.get_num_threads()} threads")
    print(f"{'':32s}{'ACC':>17s}{'NMI':>17s}{'ARI':>17s}{'fit':>8s}")
    for method, results in scores.items():
        mean, deviation = np.mean(results, axis=0), np.std(results, axis=0)
        cells = [f"{m:.4f} ± {d:.4f}" for m, d in zip(mean[:3], deviation[:3], strict=True)]
        print(f"{method:32s}" + "".join(f"{cell:>17s}" for cell in cells) + f"{mean[3]:6.0f} s")
    cells = [f"{value:.3f}" for value in PUBLISHED[name]]
    print(f"{'published, best of four runs':32s}" + "".join(f"{cell:>17s}" for cell in cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PUBLISHED)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.name, arguments.seeds)
