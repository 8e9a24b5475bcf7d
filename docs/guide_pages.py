"""Which pages of the guide explain a public name; its page in the reference links to them."""

import importlib

#: By module and name, pages without their suffix.
_PAGES = {
    "sknca": {
        "SNNLEmbedding": [
            "guide/training",
            "guide/choosing_parameters",
            "guide/dirty_tables",
            "guide/layers",
            "guide/few_labels",
            "guide/large_data",
        ],
        "SNNLoss": ["guide/own_loop", "guide/loss"],
        "SoftNeighborsClassifier": ["guide/scores", "howto/overconfident"],
        "TripletEmbedding": ["guide/triplets", "guide/training"],
        "export_onnx": ["saving", "howto/production"],
        "load": ["saving"],
        "save": ["saving", "howto/production"],
    },
    "sknca.functional": {
        "anchor_negative_distances": ["guide/triplets"],
        "anchor_positive_distances": ["guide/triplets"],
        "cosine_distances": ["guide/metric_and_temperature"],
        "mine_negatives": ["guide/triplets"],
        "mine_triplets": ["guide/triplets"],
        "soft_nearest_neighbor_loss": ["guide/loss", "guide/own_loop"],
        "soft_neighbor_probabilities": ["guide/loss", "howto/read_the_codes"],
        "squared_distances": ["guide/metric_and_temperature"],
        "squared_l2_distance": ["guide/triplets"],
        "triplet_loss": ["guide/triplets"],
        "triplet_margins": ["guide/triplets"],
    },
    "sknca.metrics": {
        "clustering_accuracy": ["guide/scores"],
        "entanglement_score": ["guide/scores", "guide/layers"],
        "make_embedding_scorer": ["guide/scores", "howto/unseen_classes"],
        "mean_average_precision_at_r": ["guide/scores", "howto/unseen_classes"],
        "mean_average_precision_at_r_score": ["guide/scores", "howto/unseen_classes"],
        "recall_at_k": ["guide/scores", "howto/unseen_classes"],
        "recall_at_k_score": ["guide/scores", "howto/unseen_classes"],
    },
    "sknca.plotting": {
        "EmbeddingDisplay": ["guide/pictures"],
        "EntanglementDisplay": ["guide/pictures", "guide/layers"],
        "LossCurveDisplay": ["guide/pictures", "guide/training"],
    },
}


def guide_pages():
    """By full name; every public name must have a page."""
    for module, pages in _PAGES.items():
        public = importlib.import_module(module).__all__
        if set(pages) != set(public):
            raise ValueError(f"{module}: {set(pages) ^ set(public)} not public, or without a page")
    return {
        f"{module}.{name}": [f"/{page}" for page in of_name]
        for module, pages in _PAGES.items()
        for name, of_name in pages.items()
    }
