"""A search whose fits run in the workers of a Dask cluster."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sknca import SNNLEmbedding

dask_distributed = pytest.importorskip("distributed")


def threads_of_torch():
    import torch

    return torch.get_num_threads()


@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_a_search_on_dask_is_that_in_one_process(iris):
    X, y = iris
    embedding = SNNLEmbedding(2, max_iter=2, random_state=0, device="cpu")
    search = GridSearchCV(
        make_pipeline(embedding, KNeighborsClassifier(5)),
        {"snnlembedding__temperature": [0.1, 1.0, 10.0]},
        cv=2,
    )
    alone = search.fit(X, y).cv_results_
    cluster = dask_distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    )
    with cluster, dask_distributed.Client(cluster) as client:
        assert len(client.run(threads_of_torch)) == 2
        with joblib.parallel_config("dask"):
            spread = search.fit(X, y).cv_results_
        assert set(client.run(threads_of_torch).values()) == {1}
    for name in ("split0_test_score", "split1_test_score", "rank_test_score"):
        np.testing.assert_array_equal(spread[name], alone[name])
    np.testing.assert_array_equal(
        search.best_estimator_[0].transform(X), search.fit(X, y).best_estimator_[0].transform(X)
    )
