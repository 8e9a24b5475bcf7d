"""The formulae, loop by loop in NumPy: what everything fast is held against."""

import math

import numpy as np


def distance(a, b, metric):
    if metric == "sqeuclidean":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
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
    """Loss of each row, NaN where it has no partner. `neighbors` are (codes, labels, weight)."""
    weight = np.ones(len(z)) if weight is None else weight
    keys, key_labels, key_weight = (z, y, weight) if neighbors is None else neighbors
    losses = []
    for i in range(len(z)):
        everyone, partners = [], []
        for j in range(len(keys)):
            if (neighbors is None and i == j) or key_weight[j] == 0:
                continue
            term = -distance(z[i], keys[j], metric) / temperature + math.log(key_weight[j])
            everyone.append(term)
            if key_labels[j] == y[i]:
                partners.append(term)
        losses.append(log_sum_exp(everyone) - log_sum_exp(partners) if partners else math.nan)
    return np.array(losses)


def soft_nearest_neighbor_loss(z, y, temperature, metric, weight=None, neighbors=None):
    losses = row_losses(z, y, temperature, metric, weight, neighbors)
    weight = np.ones(len(z)) if weight is None else weight
    valid = ~np.isnan(losses)
    total = weight[valid].sum()
    return float((weight[valid] * losses[valid]).sum() / total) if total > 0 else 0.0
