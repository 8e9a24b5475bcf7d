"""Groups of samples that are held out together: near-copies must not vouch for each other."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.distributed import Alone
from sknca.estimators import _reading
from sknca.fitting import _fit, _watched

SETTINGS = {"hidden_layer_sizes": (16,), "max_iter": 8, "random_state": 0}


@pytest.fixture
def copies():
    """40 samples whose labels are chance, 50 near-copies of each, and whose copies they are."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 50)
    X = rng.normal(size=(40, 20))[groups] + 0.05 * rng.normal(size=(2000, 20))
    return X, rng.permutation(40)[groups] % 2, groups


@pytest.fixture
def splits(monkeypatch):
    """The rows that are kept and those that are held out, of each split of a fit."""
    found = []

    def hold_out(*args):
        found.append(original(*args))
        return found[-1]

    original = _fit.hold_out
    for module in (_fit, _watched):
        monkeypatch.setattr(module, "hold_out", hold_out)
    return found


def test_copies_do_not_hide_overfitting(copies):
    X, y, groups = copies
    alone = SNNLEmbedding(random_state=0).fit(X, y)
    together = SNNLEmbedding(random_state=0).fit(X, y, groups=groups)
    assert alone.overfits_ is False
    assert together.overfits_ is True
    assert together.n_iter_ < alone.n_iter_


def test_sound_samples_in_groups_are_found_sound():
    X, y = load_digits(return_X_y=True)
    groups = np.random.default_rng(0).integers(60, size=len(y))
    embedding = SNNLEmbedding(max_iter=20, random_state=0).fit(X, y, groups=groups)
    assert embedding.overfits_ is False
    assert embedding.n_iter_ == 20


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("as_given", [list, lambda g: np.array(g, dtype=str), lambda g: g[:, None]])
@pytest.mark.filterwarnings("ignore:Maximum iterations", "ignore:A column-vector")
def test_early_stopping_holds_out_whole_groups(copies, splits, kind, as_given):
    X, y, groups = copies
    kind(early_stopping=True, **SETTINGS).fit(X, y, groups=as_given(groups))
    ((kept, held_out),) = splits
    assert len(held_out) == 200
    assert len(np.unique(groups[held_out])) == 4
    assert not set(groups[kept]) & set(groups[held_out])


def test_the_check_holds_out_a_quarter_of_few_groups(copies, splits):
    X, y, groups = copies
    SNNLEmbedding(**SETTINGS).fit(X, y, groups=groups)
    ((_, held_out),) = splits
    assert len(np.unique(groups[held_out])) == 10


def test_groups_of_samples_that_are_left_out_do_not_count(copies, splits):
    X, y, groups = copies
    weight = (groups < 20).astype(float)
    embedding = SNNLEmbedding(early_stopping=True, **SETTINGS)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        embedding.fit(X, y, weight, groups=groups)
    ((kept, held_out),) = splits
    assert len(kept) + len(held_out) == 1000


def test_classes_as_groups():
    X, y = load_iris(return_X_y=True)
    embedding = SNNLEmbedding(**SETTINGS).fit(X, y, groups=y)
    assert embedding.overfits_ is None  # nothing can be held out
    with pytest.raises(ValueError, match="each of the groups has all samples of a class"):
        SNNLEmbedding(early_stopping=True, **SETTINGS).fit(X, y, groups=y)


def test_without_groups_none_is_to_blame():
    embedding = SNNLEmbedding(early_stopping=True, unlabeled=-1)
    with pytest.raises(ValueError, match="early_stopping with validation_fraction=0.1 leaves only"):
        embedding.fit(np.eye(4), [0, 1, 2, -1])  # nothing can be held out


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (np.arange(149), ValueError, r"inconsistent numbers of samples: \[150, 149\]"),
        (np.zeros(150), ValueError, r"groups parameter contains fewer than 2 unique groups \(1\)"),
        (np.full(150, np.nan), ValueError, "Input groups contains NaN"),
        (np.array([1, "a"] * 75, dtype=object), TypeError, "groups must be uniformly strings or"),
    ],
)
@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
def test_groups_that_are_refused(iris, kind, groups, error, message):
    embedding = kind(early_stopping=True, max_iter=2)
    with pytest.raises(error, match=message):
        embedding.fit(*iris, groups=groups)
    assert not hasattr(embedding, "network_")


def test_not_with_validation_samples_nor_in_several_processes(iris):
    X, y = iris
    groups = np.arange(150) // 3
    with pytest.raises(ValueError, match="because X_val is given"):
        SNNLEmbedding(max_iter=2).fit(X, y, groups=groups, X_val=X, y_val=y)

    class Joint(Alone):
        is_joint = True

    plan = replace(SNNLEmbedding()._plan(), processes=Joint())
    given = _reading.Given(X, groups=groups)
    with pytest.raises(ValueError, match="groups are for a single process"):
        _reading._read_groups(plan, given, X, np.arange(150), leaves_out=False)


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
def test_they_are_not_used_where_nothing_is_held_out(iris, kind):
    codes = kind(early_stopping=False, **SETTINGS).fit_transform(*iris)
    with pytest.warns(UserWarning, match="groups are not used, because early_stopping=False"):
        embedding = kind(early_stopping=False, **SETTINGS).fit(*iris, groups=np.arange(150) // 3)
    np.testing.assert_array_equal(embedding.transform(iris[0]), codes)


@pytest.mark.parametrize("is_routed", [False, True])
def test_through_a_pipeline_and_folds(copies, splits, is_routed):
    X, y, groups = copies
    embedding = SNNLEmbedding(**SETTINGS)
    prefix = "" if is_routed else "snnlembedding__"
    with sklearn.config_context(enable_metadata_routing=is_routed):
        if is_routed:
            embedding.set_fit_request(groups=True)
        model = make_pipeline(StandardScaler(), embedding, KNeighborsClassifier())
        model.fit(X, y, **{f"{prefix}groups": groups})
        assert model["snnlembedding"].overfits_ is not None
        folds = {"cv": GroupKFold(2), "return_estimator": True}
        if is_routed:
            found = cross_validate(model, X, y, params={"groups": groups}, **folds)
        else:
            given = {"groups": groups, "params": {f"{prefix}groups": groups}}
            found = cross_validate(model, X, y, **given, **folds)
    assert [one["snnlembedding"].overfits_ is None for one in found["estimator"]] == [False] * 2
    assert [len(kept) + len(held_out) for kept, held_out in splits] == [2000, 1000, 1000]


def test_other_groups_are_another_fit(copies, tmp_path):
    X, y, groups = copies
    path = tmp_path / "fit"
    embedding = SNNLEmbedding(**SETTINGS)
    codes = embedding.fit(X, y, groups=groups, checkpoint=path).transform(X)
    again = SNNLEmbedding(**SETTINGS).fit(X, y, groups=groups + 7, checkpoint=path)  # the same ones
    np.testing.assert_array_equal(again.transform(X), codes)
    for other in (None, groups // 2):
        with pytest.raises(ValueError, match=r"belongs to another fit.*groups"):
            SNNLEmbedding(**SETTINGS).fit(X, y, groups=other, checkpoint=path)


class TestWhatIsShownIfThereIsNoCheck:
    @pytest.mark.parametrize(
        ("parameters", "given", "reason"),
        [
            ({}, {}, "it has fewer than 20 epochs"),
            ({"tol": 1e9}, {}, "tol is given"),
            ({"primary_loss": "reconstruction"}, {}, "primary_loss also learns from"),
            ({}, {"X_val": 1, "y_val": 1}, "X_val is given"),
            ({"max_iter": 20}, {"groups": 1}, "each of the groups has all samples of a class"),
        ],
    )
    @pytest.mark.parametrize("verbose", [1, 2])
    @pytest.mark.filterwarnings("ignore:Maximum iterations")
    def test_it_says_why(self, iris, capsys, parameters, given, reason, verbose):
        X, y = iris
        given = {name: X if name == "X_val" else y for name in given}
        settings = {"max_iter": 2, "random_state": 0, **parameters}
        embedding = SNNLEmbedding(verbose=verbose, **settings).fit(X, y, **given)
        assert embedding.overfits_ is None
        shown = capsys.readouterr()
        note = f"SNNLEmbedding: not checked for overfitting, because {reason}"
        assert note in (shown.err if verbose == 1 else shown.out)

    @pytest.mark.parametrize(
        "embedding",
        [
            SNNLEmbedding(early_stopping=False, max_iter=2, verbose=2),
            SNNLEmbedding(max_iter=20, verbose=2),
            TripletEmbedding(max_iter=2, verbose=2),
            SNNLEmbedding(max_iter=2),
        ],
    )
    def test_nothing_is_said(self, iris, capsys, embedding):
        embedding.fit(*iris)
        assert "not checked" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(("n_rows", "is_watched"), [(640, True), (4000, False)])
def test_few_epochs_of_many_batches_are_watched(n_rows, is_watched):
    # As many batches in an epoch as a table of n_rows * 64 samples has.
    rng = np.random.default_rng(0)
    embedding = SNNLEmbedding(hidden_layer_sizes=(4,), batch_size=4, adversarial_radius=0)
    embedding._most_epochs = 18 if is_watched else 4
    embedding.fit(rng.normal(size=(n_rows, 3)), np.arange(n_rows) % 2)
    assert embedding.n_iter_ < 20
    assert (embedding.overfits_ is not None) is is_watched
