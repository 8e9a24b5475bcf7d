"""save and load: what comes back, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from torch import nn
from versions import needs_callbacks

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.persistence import _fitted


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def round_trip(estimator, path, **own):
    sknca.save(estimator, path)
    return sknca.load(path, **own)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, nn.Module):
        assert str(a) == str(b)
        assert not a.training
        assert not b.training
        assert a.state_dict().keys() == b.state_dict().keys()
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name])
    else:
        np.testing.assert_equal(a, b)


def assert_same_attributes(estimator, again, but=()):
    assert vars(estimator).keys() == vars(again).keys()
    for name, value in vars(estimator).items():
        if name not in but:
            assert_same(value, vars(again)[name])


EMBEDDINGS = {
    "default": SNNLEmbedding(max_iter=2),
    "linear": SNNLEmbedding(3, hidden_layer_sizes=(), max_iter=2),
    "unit-length": SNNLEmbedding(2, metric="cosine", activation="gelu", max_iter=2),
    "unsquared": SNNLEmbedding(2, metric="euclidean", max_iter=2),
    "learned temperatures": SNNLEmbedding(
        3, temperature_schedule="learned", layers="all", hidden_layer_sizes=[8], max_iter=2
    ),
    "autoencoder": SNNLEmbedding(
        3, hidden_layer_sizes=(8, 6), primary_loss="reconstruction", unlabeled=2, max_iter=2
    ),
    "without labels": SNNLEmbedding(3, primary_loss="reconstruction", snnl_weight=0, max_iter=2),
    "classification": SNNLEmbedding(
        3, primary_loss="classification", layers=(0, "code"), dropout=0.0, max_iter=2
    ),
    "validation": SNNLEmbedding(3, max_iter=2),
    "numbers of NumPy": SNNLEmbedding(
        np.int64(3), hidden_layer_sizes=np.array([8, 4]), temperature=np.float32(0.3), max_iter=2
    ),
    "triplets": TripletEmbedding(3, margin="soft", device=torch.device("cpu"), max_iter=2),
    "triplets, unit-length": TripletEmbedding(3, metric="cosine", mining="hard", max_iter=2),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_round_trip(name, rows, path):
    X, y = rows
    validation = {"X_val": X[::3], "y_val": y[::3]} if name == "validation" else {}
    embedding = EMBEDDINGS[name].set_params(random_state=0).fit(X, y, **validation)
    again = round_trip(embedding, path)
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
    if name != "numbers of NumPy":
        assert_same_attributes(embedding, again)
    assert again._objective.network is again.network_
    if hasattr(embedding, "inverse_transform"):
        codes = embedding.transform(X)
        np.testing.assert_array_equal(
            again.inverse_transform(codes), embedding.inverse_transform(codes)
        )


def test_numbers_of_numpy_come_back_as_python_s(rows, path):
    again = round_trip(EMBEDDINGS["numbers of NumPy"].fit(*rows), path)
    assert_same(again.n_components, 3)
    assert_same(again.temperature, float(np.float32(0.3)))
    assert_same(again.hidden_layer_sizes, np.array([8, 4]))


def test_a_range_comes_back_as_a_list(rows, path):
    embedding = SNNLEmbedding(2, hidden_layer_sizes=range(3, 5), max_iter=1).fit(*rows)
    again = round_trip(embedding, path)
    assert again.hidden_layer_sizes == [3, 4]
    assert_same(again.network_, embedding.network_)


LABELS = {
    **{
        dtype: np.array([0, 1], dtype)
        for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", ">i4")
    },
    "int64": np.array([-(2**63), 2**63 - 1]),
    "uint64": np.array([0, 2**64 - 1], dtype="uint64"),
    "bool": np.array([False, True]),
    "float16": np.array([0, 1], "float16"),
    "float32": np.array([-1, 7], "float32"),
    "float64": np.array([-0.0, 2.0**60]),
    "str": np.array(["", "naïve ☃ \\ \" ' \n"], "<U20"),
    "objects": np.array(["a", "a long label"], dtype=object),
    "half a character": np.array(["a", "\ud800"], dtype=object),
    "dates": np.array(["2020-01-01", "2021-06-30"], "datetime64[D]"),
    "times": np.array([1, 2], "timedelta64[25ms]"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(
    "estimator",
    [TripletEmbedding(1, hidden_layer_sizes=(2,), max_iter=1), SoftNeighborsClassifier()],
    ids=["embedding", "classifier"],
)
def test_labels_of_every_kind(estimator, kind, path):
    y = np.tile(LABELS[kind], 3)
    X = np.arange(6.0)[:, None]
    estimator.fit(X, y)
    assert_same_attributes(estimator, round_trip(estimator, path))


def test_texts_in_a_very_wide_array_come_back_in_a_narrower_one(path):
    y = np.array(["a", "b"] * 2, ">U5000")
    again = round_trip(SoftNeighborsClassifier().fit([[0.0], [1.0], [2.0], [3.0]], y), path)
    assert_same(again.classes_, np.array(["a", "b"], ">U1001"))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_classifier(metric, rows, path):
    X, y = rows
    classifier = SoftNeighborsClassifier(temperature=0.3, metric=metric)
    classifier.fit(X.astype("float32"), y, sample_weight=y)  # a class of weight 0
    again = round_trip(classifier, path)
    assert_same_attributes(classifier, again)
    np.testing.assert_array_equal(again.predict_log_proba(X), classifier.predict_log_proba(X))


def test_feature_names_and_set_output(rows, path):
    X, y = rows
    X = pd.DataFrame(X, columns=["ä", "b", "c", "d", "e"])
    embedding = SNNLEmbedding(2, max_iter=1).set_output(transform="pandas").fit(X, y)
    again = round_trip(embedding, path)
    assert_same_attributes(embedding, again)
    pd.testing.assert_frame_equal(again.transform(X), embedding.transform(X))
    with pytest.raises(ValueError, match="feature names should match"):
        again.transform(X.rename(columns={"ä": "a"}))


class Callback:
    def setup(self, *args, **kwargs):
        pass

    def on_fit_task_begin(self, *args, **kwargs):
        pass

    def on_fit_task_end(self, *args, **kwargs):
        pass

    def teardown(self, *args, **kwargs):
        pass


@needs_callbacks
def test_callbacks_are_not_saved(rows, path):
    embedding = SNNLEmbedding(2, max_iter=1).set_callbacks(Callback()).fit(*rows)
    again = round_trip(embedding, path)
    assert vars(embedding).keys() - vars(again).keys() == {"_skl_callbacks"}
    again.fit(*rows)


def test_all_that_fit_sets_is_known(rows):
    for estimator in (*EMBEDDINGS.values(), SoftNeighborsClassifier()):
        estimator.fit(*rows)
        known = {*_fitted.FITTED[type(estimator)], *_fitted.OPTIONAL}
        networks = {"network_", "_objective", "decoder_", "_encoder_of_fit"}
        assert vars(estimator).keys() <= known | networks | estimator.get_params().keys()


@pytest.mark.parametrize("name", ["learned temperatures", "autoencoder", "classification"])
def test_it_goes_on_learning_where_it_stopped(name, rows, path):
    embedding = EMBEDDINGS[name].set_params(random_state=0, warm_start=False).fit(*rows)
    embedding.set_params(warm_start=True)
    again = round_trip(embedding, path)
    assert_same_attributes(embedding.fit(*rows), again.fit(*rows))


def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, n_features)),
        nn.Conv1d(1, 4, 3),
        nn.BatchNorm1d(4),
        nn.Flatten(),
        nn.Linear(4 * (n_features - 2), n_components),
    )


def small_decoder(n_components, n_features):
    return nn.Sequential(nn.Linear(n_components, n_features))


def cooling(epoch):
    return 1 / (epoch + 1)


def test_modules_and_functions_of_the_user(rows, path):
    X, y = StandardScaler().fit_transform(rows[0]), rows[1]
    own = {"encoder": convolutional, "decoder": small_decoder, "temperature_schedule": cooling}
    embedding = SNNLEmbedding(
        2, metric="cosine", primary_loss="reconstruction", max_iter=2, random_state=0, **own
    ).fit(X, y)
    again = round_trip(embedding, path, **own)
    assert_same_attributes(embedding, again, but=own)
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
    for name in own:
        others = {key: value for key, value in own.items() if key != name}
        with pytest.raises(ValueError, match=f"its {name} was a custom one, .* as {name}=..."):
            sknca.load(path, **others)


def test_a_module_as_encoder_is_copied(rows, path):
    module = nn.Linear(5, 2)
    X = StandardScaler().fit_transform(rows[0])
    embedding = SNNLEmbedding(encoder=module, max_iter=1).fit(X, rows[1])
    before = module.weight.clone()
    again = round_trip(embedding, path, encoder=module)
    assert again.encoder is module
    assert torch.equal(module.weight, before)
    assert torch.equal(again.network_.weight, embedding.network_.weight)


@pytest.mark.parametrize(
    "encoder", [nn.Linear(5, 3), nn.Linear(4, 2), nn.Linear(5, 2, bias=False), lambda n, m: None]
)
def test_an_encoder_that_does_not_fit_is_refused(encoder, rows, path):
    sknca.save(SNNLEmbedding(encoder=nn.Linear(5, 2), max_iter=1).fit(*rows), path)
    with pytest.raises(ValueError, match="model.safetensors cannot be loaded: "):
        sknca.load(path, encoder=encoder)


def test_what_was_the_users_not_is_refused(small, path):
    sknca.save(small, path)
    with pytest.raises(ValueError, match="encoder was given, but the estimator had no custom one"):
        sknca.load(path, encoder=nn.Linear(5, 2))


def test_parameters_set_after_fit(small, rows, path):
    """The network is that of the fit, whatever the parameters say by now."""
    small.set_params(hidden_layer_sizes=(7, 7), activation="tanh", metric="cosine")
    again = round_trip(small, path)
    assert_same_attributes(small, again)
    np.testing.assert_array_equal(again.transform(rows[0]), small.transform(rows[0]))
    own = SNNLEmbedding(encoder=nn.Linear(5, 2), max_iter=1).fit(*rows).set_params(encoder=None)
    with pytest.raises(ValueError, match="encoder was changed after fit"):
        sknca.save(own, path)


@pytest.mark.parametrize("estimator", [SNNLEmbedding(), SoftNeighborsClassifier()])
def test_not_fitted(estimator, path):
    with pytest.raises(NotFittedError):
        sknca.save(estimator, path)
    assert not path.exists()


@pytest.mark.parametrize("estimator", [StandardScaler(), "SNNLEmbedding"])
def test_estimators_of_others(estimator, path):
    with pytest.raises(ValueError, match="estimator must be one of SNNLEmbedding, "):
        sknca.save(estimator, path)


def test_what_a_file_cannot_hold(small, rows, path):
    small.set_params(random_state=np.random.RandomState(0))
    with pytest.raises(ValueError, match=r"random_state=RandomState\(MT19937\) .* cannot be saved"):
        sknca.save(small, path)
    small.set_params(random_state=None).network_ = nn.Linear(5, 2)
    with pytest.raises(ValueError, match="network_ was replaced after fit"):
        sknca.save(small, path)
    changed = SNNLEmbedding(max_iter=1).fit(*rows)
    changed.network_.hidden[1][1] = nn.Tanh()
    with pytest.raises(ValueError, match="The layers of the encoder were changed after fit"):
        sknca.save(changed, path)
    classifier = SoftNeighborsClassifier().fit([[0], [1]], np.array([0, 1], np.longdouble))
    with pytest.raises(ValueError, match="classes_ has dtype float128, which cannot be saved"):
        sknca.save(classifier, path)
    assert not path.exists()


def test_device(small, path):
    sknca.save(small, path)
    assert sknca.load(path, device="cpu").device_ == torch.device("cpu")
    with pytest.raises(ValueError, match="device='abacus' cannot be used here"):
        sknca.load(path, device="abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without CUDA")
def test_a_device_that_is_not_there(small, path):
    small.device_ = torch.device("cuda:0")
    sknca.save(small, path)
    assert sknca.load(path, device="cpu").device_ == torch.device("cpu")
    with pytest.warns(UserWarning, match="'cuda:0', which is not available") as caught:
        assert sknca.load(path).device_ == torch.device("cpu")
    assert caught[0].filename == __file__


@pytest.mark.cuda
def test_from_cuda_to_the_cpu(rows, path):
    X, y = rows
    embedding = SNNLEmbedding(3, primary_loss="reconstruction", max_iter=2, device="cuda").fit(X, y)
    again = round_trip(embedding, path)
    assert again.device_.type == "cuda"
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
    on_cpu = sknca.load(path, device="cpu")
    for name, value in on_cpu._objective.state_dict().items():
        assert value.is_cpu
        assert torch.equal(value, embedding._objective.state_dict()[name].cpu())
    np.testing.assert_allclose(on_cpu.transform(X), embedding.transform(X), atol=1e-4)


def test_global_state_is_left_alone_and_does_not_matter(rows, path):
    embeddings = [
        SNNLEmbedding(encoder=encoder, primary_loss="reconstruction", max_iter=1).fit(*rows)
        for encoder in (None, convolutional, nn.Linear(5, 2))
    ]
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        again = [round_trip(one, path, encoder=one.encoder) for one in embeddings]
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.equal(torch.get_rng_state(), before)
    for loaded, embedding in zip(again, embeddings, strict=True):
        assert_same(loaded._objective, embedding._objective)


class Own(SNNLEmbedding):
    """A class of the user's own, with parameters of its own."""

    def __init__(self, n_components=2, *, factor=1.0, max_iter=2, random_state=0):
        super().__init__(n_components, max_iter=max_iter, random_state=random_state)
        self.factor = factor


class TestSubclasses:
    @pytest.mark.parametrize("base", [SNNLEmbedding, TripletEmbedding, SoftNeighborsClassifier])
    def test_round_trip(self, base, rows, path):
        kind = type("Derived", (base,), {"__init__": base.__init__})
        estimator = kind().fit(*rows)
        sknca.save(estimator, path)
        again = sknca.load(path, estimator_class=kind)
        assert type(again) is kind
        assert_same_attributes(estimator, again)

    def test_own_parameters(self, rows, path):
        sknca.save(Own(factor=3.0).fit(*rows), path)
        assert sknca.load(path, estimator_class=Own).factor == 3

    def test_load_says_what_is_missing(self, rows, path):
        sknca.save(Own().fit(*rows), path)
        with pytest.raises(ValueError, match="pass it to load as estimator_class="):
            sknca.load(path)
        for wrong in (TripletEmbedding, dict, "Own"):
            with pytest.raises(ValueError, match="must be derived from SNNLEmbedding"):
                sknca.load(path, estimator_class=wrong)
        sknca.save(SNNLEmbedding(max_iter=1).fit(*rows), path)
        with pytest.raises(ValueError, match="estimator_class was given, but"):
            sknca.load(path, estimator_class=Own)

    def test_what_a_file_would_lose_is_refused(self, rows, path):
        embedding = Own().fit(*rows)
        embedding.threshold_ = 0.5
        with pytest.raises(ValueError, match="Own cannot be saved: .* but not threshold_"):
            sknca.save(embedding, path)
        assert not path.exists()
