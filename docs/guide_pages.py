"""Which pages of the guide belong to a public name or an example, with links in both directions.

The page of a name in the reference begins with links to its pages of the guide. Each of these ends
with links to its names and its examples, and each example ends with links to its pages.
"""

import importlib
from pathlib import Path

#: By module and name, pages without their suffix.
_PAGES = {
    "sknca": {
        "Encoder": ["howto/own_parts", "howto/custom_encoder"],
        "PrimaryLoss": ["howto/own_parts"],
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
        "TemperatureSchedule": ["howto/own_parts"],
        "TripletEmbedding": ["guide/triplets", "guide/training"],
        "export_onnx": ["saving", "howto/production"],
        "load": ["saving"],
        "save": ["saving", "howto/production"],
    },
    "sknca.distributed": {
        "gather": ["scaling", "guide/own_loop"],
        "part_of": ["scaling"],
        "soft_nearest_neighbor_loss": ["scaling", "guide/own_loop"],
        "together": ["scaling"],
    },
    "sknca.functional": {
        "Metric": ["howto/own_parts"],
        "Strategy": ["howto/own_parts"],
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

#: By example, pages without their suffix.
_PAGES_OF_EXAMPLES = {
    "plot_autoencoder_few_labels": ["guide/few_labels", "guide/layers"],
    "plot_custom_encoder": ["howto/custom_encoder", "guide/training"],
    "plot_entanglement_by_layer": ["guide/layers", "guide/pictures"],
    "plot_grid_search_temperature": ["guide/metric_and_temperature", "guide/choosing_parameters"],
    "plot_kmeans_on_codes": ["guide/scores"],
    "plot_methods_side_by_side": ["guide/pictures", "guide/coming_from"],
    "plot_pipeline_knn": ["guide/training", "howto/worse_than_without"],
    "plot_retrieval_of_unseen_classes": ["howto/unseen_classes", "guide/scores"],
    "plot_shuffled_labels": ["guide/dirty_tables", "howto/read_the_codes"],
    "plot_streaming": ["guide/long_runs"],
    "plot_temperature": ["guide/metric_and_temperature"],
    "plot_triplet_vs_snnl": ["guide/triplets"],
}

_FOLDER = Path(__file__).parent


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


def add_links_back(app, page, source):
    """Ends pages of the guide with their names and examples, and examples with their pages."""
    example = page.removeprefix("auto_examples/")
    if example in _PAGES_OF_EXAMPLES:
        links = " · ".join(f":doc:`/{name}`" for name in _PAGES_OF_EXAMPLES[example])
        start, label, end = source[0].partition(".. _sphx_glr_download_auto_examples")
        source[0] = f"{start}Guide: {links}\n\n{label}{end}"
    elif page in links_back():
        source[0] += "\n\n---\n\n" + "\n\n".join(links_back()[page]) + "\n"


def links_back():
    """By page of the guide, lines with links to its names and its examples."""
    examples = {path.stem for path in (_FOLDER.parent / "examples").glob("plot_*.py")}
    if set(_PAGES_OF_EXAMPLES) != examples:
        raise ValueError(f"{set(_PAGES_OF_EXAMPLES) ^ examples} are no examples, or without a page")
    lines = {}
    for name, pages in guide_pages().items():
        for page in pages:
            lines.setdefault(page[1:], {}).setdefault("Reference", []).append(f"{{obj}}`~{name}`")
    for example, pages in _PAGES_OF_EXAMPLES.items():
        for page in pages:
            link = f"{{doc}}`/auto_examples/{example}`"
            lines.setdefault(page, {}).setdefault("Examples", []).append(link)
    for page in lines:
        if not (_FOLDER / f"{page}.md").exists():
            raise ValueError(f"There is no page {page}.")
    return {
        page: [f"{kind}: {' · '.join(links)}" for kind, links in of_page.items()]
        for page, of_page in lines.items()
    }
