"""scikit-learn's own checks: those it gives to everybody, and those that it keeps for itself."""

from inspect import signature

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding


class SmallEncoder:
    """A function, but with the same name in every process: it is in the names of tests."""

    def __call__(self, n_features, n_components):
        return nn.Sequential(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_components)
        )

    def __repr__(self):
        return "SmallEncoder()"


#: The first one as it is; three epochs are enough for what the checks look at.
ESTIMATORS = [
    SNNLEmbedding(),
    SNNLEmbedding(max_iter=3, metric="cosine", temperature=0.1),
    SNNLEmbedding(max_iter=3, metric="euclidean"),
    SNNLEmbedding(max_iter=3, hidden_layer_sizes=()),
    SNNLEmbedding(max_iter=3, n_members=2, hidden_layer_sizes=(32,)),
    SNNLEmbedding(max_iter=3, encoder=SmallEncoder(), adversarial_radius=0.1),
    SNNLEmbedding(max_iter=3, early_stopping=True, tol=1e-3),
    SNNLEmbedding(
        max_iter=3,
        layers="all",
        temperature_schedule="learned",
        hidden_layer_sizes=(32,),
        adversarial_radius=0.1,
    ),
    SNNLEmbedding(
        max_iter=3, primary_loss="reconstruction", snnl_weight=0, hidden_layer_sizes=(32,)
    ),
    SNNLEmbedding(
        max_iter=3,
        primary_loss="classification",
        unlabeled=-1,
        hidden_layer_sizes=(32,),
        adversarial_radius=0.1,
    ),
    TripletEmbedding(max_iter=3),
    TripletEmbedding(max_iter=3, metric="cosine", margin=0.2, mining="hard"),
    TripletEmbedding(
        max_iter=3, margin="soft", mining="random", early_stopping=True, adversarial_radius=0.1
    ),
]

EXPECTED_FAILURES = dict.fromkeys(
    (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ),
    "A row is no neighbor of its own, but it is one of its copy: a row given twice is not a row of "
    "weight 2.",
)


#: scikit-learn gives `classes` to the `partial_fit` of classifiers alone.
NEEDS_CLASSES = dict.fromkeys(
    (
        "check_n_features_in_after_fitting",
        "check_dataframe_column_names_consistency",
    ),
    "partial_fit with a classification needs `classes`, which the check does not give.",
)


#: What scikit-learn checks with `n_components=1`, which two members cannot share.
ONE_COMPONENT = dict.fromkeys(
    (
        "check_dont_overwrite_parameters",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_fit2d_1sample",
        "check_fit2d_1feature",
        "check_fit2d_predict1d",
    ),
    "The check sets n_components=1, which is refused with n_members=2.",
)


#: An expected failure must happen, as far as scikit-learn can be told so.
STRICT = {"xfail_strict": True}
if "xfail_strict" not in signature(parametrize_with_checks).parameters:
    STRICT = {}


def expected_failures(estimator):
    classifies = getattr(estimator, "primary_loss", None) == "classification"
    several = getattr(estimator, "n_members", 1) > 1
    return (
        EXPECTED_FAILURES
        | (NEEDS_CLASSES if classifies else {})
        | (ONE_COMPONENT if several else {})
    )


# Three epochs are too few to converge.
@pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures, **STRICT)
def test_given_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:Maximum iterations:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:X (does not have|has).* feature names:UserWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "check_param_validation",
        "check_dataframe_column_names_consistency",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_global_output_transform_pandas",
        "check_global_set_output_transform_polars",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_inplace_ensure_writeable",
    ],
)
def test_checks_that_are_left_out(estimator, name):
    estimator = estimator.set_params(max_iter=3, random_state=0)
    check = getattr(estimator_checks, name)
    if name in expected_failures(estimator):
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            check(type(estimator).__name__, estimator)
    else:
        check(type(estimator).__name__, estimator)
