"""The formulae, loop by loop in NumPy: what everything fast is held against."""

import math

import numpy as np


def distance(a, b, metric):
    if metric != "cosine":
        squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        return squared if metric == "sqeuclidean" else math.sqrt(squared)
    norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return 1.0 if norm == 0 else 1 - sum(x * y for x, y in zip(a, b, strict=True)) / norm


def log_sum_exp(terms):
    if not terms:
        return -math.inf
    largest = max(terms)
    if largest == -math.inf:
        return largest
    return largest + math.log(sum(math.exp(term - largest) for term in terms))


def row_losses(z, y, temperature, metric, weight=None, neighbors=None):
    """Loss of each row, NaN where it has no positive. `neighbors` are (codes, labels, weight)."""
    weight = np.ones(len(z)) if weight is None else weight
    keys, key_labels, key_weight = (z, y, weight) if neighbors is None else neighbors
    losses = []
    for i in range(len(z)):
        everyone, positives = [], []
        for j in range(len(keys)):
            if (neighbors is None and i == j) or key_weight[j] == 0:
                continue
            term = -distance(z[i], keys[j], metric) / temperature + math.log(key_weight[j])
            everyone.append(term)
            if key_labels[j] == y[i]:
                positives.append(term)
        losses.append(log_sum_exp(everyone) - log_sum_exp(positives) if positives else math.nan)
    return np.array(losses)


def of_family(losses, q):
    """(1 - p^q) / q of rows with the losses -log p."""
    return losses if q == 0 else (1 - np.exp(-q * losses)) / q


def soft_nearest_neighbor_loss(z, y, temperature, metric, weight=None, neighbors=None, q=0.0):
    losses = of_family(row_losses(z, y, temperature, metric, weight, neighbors), q)
    weight = np.ones(len(z)) if weight is None else weight
    valid = ~np.isnan(losses)
    total = weight[valid].sum()
    return float((weight[valid] * losses[valid]).sum() / total) if total > 0 else 0.0


def triplets(z, y, margin, strategy, metric):
    """All triplets (anchor, positive, negative) of a strategy; not for "random"."""
    n = range(len(z))
    d = [[distance(a, b, metric) for b in z] for a in z]
    every = [(a, p, m) for a in n for p in n for m in n if p != a and y[p] == y[a] and y[m] != y[a]]
    if strategy == "hard":
        chosen = {}
        for a, p, m in every:
            _, farthest, nearest = chosen.get(a, (a, p, m))
            farthest = p if d[a][p] > d[a][farthest] else farthest
            nearest = m if d[a][m] < d[a][nearest] else nearest
            chosen[a] = a, farthest, nearest
        return list(chosen.values())
    return [
        (a, p, m)
        for a, p, m in every
        if d[a][m] < d[a][p] + margin and (strategy == "all" or d[a][p] < d[a][m])
    ]


def triplet_loss(z, y, margin, strategy, metric, weight=None):
    weight = np.ones(len(z)) if weight is None else weight
    soft = margin == "soft"
    total = active = 0.0
    for a, p, m in triplets(z, y, math.inf if soft else margin, strategy, metric):
        gap = distance(z[a], z[p], metric) - distance(z[a], z[m], metric)
        loss = math.log1p(math.exp(-abs(gap))) + max(gap, 0) if soft else max(gap + margin, 0)
        of_triplet = weight[a] * (1 if strategy == "hard" else weight[p] * weight[m])
        total += of_triplet * loss
        active += of_triplet * (soft or loss > 0)
    return total / active if active else 0.0


def spread_labels(rows, labels, n_classes, n_neighbors, n_steps, one_sided):
    """Class probabilities by random walks along nearest neighbors that end at the first label."""
    n = len(rows)
    neighbors, units = [], []
    for i in range(n):
        away = sorted((distance(rows[i], rows[j], "sqeuclidean"), j) for j in range(n) if j != i)
        neighbors.append(away[:n_neighbors])
        units.append(math.sqrt(neighbors[i][min(7, n_neighbors) - 1][0]))
    reached = np.zeros((n, n_classes))
    given = np.array([[float(label == c) for c in range(n_classes)] for label in labels])
    reached = given.copy()
    for _ in range(n_steps):
        after = given.copy()
        for i in range(n):
            if labels[i] < 0:
                weights = [
                    math.exp(-d / (units[i] * units[j]))
                    * (1 if i in [back for _, back in neighbors[j]] else one_sided)
                    for d, j in neighbors[i]
                ]
                for weight, (_, j) in zip(weights, neighbors[i], strict=True):
                    after[i] += weight / sum(weights) * reached[j]
        reached = after
    for c in range(n_classes):
        reached[:, c] *= given[:, c].sum() / reached[:, c].sum()
    return [row / row.sum() if row.sum() > 0 else row for row in reached]
