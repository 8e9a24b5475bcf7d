"""The transformer that minimizes the soft nearest neighbor loss."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._arrays import as_array
from .._compat import HasMethods, Interval, StrOptions
from .._typing import with_types
from ..fitting import DecoderPlan, Fitted, Plan, SNNLPlan
from ..functional import Metric, MetricName, check_metric
from ..metrics import entanglement_score
from ..networks import choose_layers, describe_layer, device_of, is_plain_maker
from ..objectives import (
    PRIMARY_LOSSES,
    TEMPERATURE_SCHEDULES,
    PrimaryLoss,
    TemperatureSchedule,
    check_primary_loss,
    check_temperature_schedule,
    is_of_package,
)
from ..tables import (
    FLOATS,
    DenseTable,
    naming_columns,
    read_labels,
    read_table,
    without_unlabeled,
)
from ._base import BaseEmbedding
from ._outputs import apply_layers_to_array, apply_to_array

#: Of `q`, if labels look wrong.
_AUTO_Q = 0.7


class SNNLEmbedding(BaseEmbedding):
    r"""Supervised nonlinear dimensionality reduction by the soft nearest neighbor loss.

    This is deep metric learning as a scikit-learn transformer. An encoder network is trained so
    that the nearest neighbors of a sample's code have the same class, by minimizing

    .. math::

        L = \operatorname{mean}_i \Bigl[ \log \sum_{j \ne i} e^{-d_{ij} / T}
            - \log \sum_{j \ne i,\, y_j = y_i} e^{-d_{ij} / T} \Bigr]

    where :math:`d_{ij}` is the distance between the codes of two samples of a mini-batch. A linear
    encoder (`hidden_layer_sizes=()`) with the default metric and temperature has the stochastic
    neighbors of Neighborhood Components Analysis (NCA).

    The bracket is :math:`-\log p`, with the probability :math:`p` that a sample's neighbor has its
    class. This is the loss of a sample if the training samples agree with their labels. If they do
    not, it is :math:`(1 - p^q) / q`, so that wrong labels and overlapping classes do less harm.
    With `q=0` it is always the formula above.

    The built-in encoder centers each feature, scales it robustly and clips outliers smoothly, so
    that units, offsets and a few extreme values do not matter. A custom or linear encoder gets the
    features unchanged: scale them first, with :class:`~sklearn.preprocessing.StandardScaler`, say.

    Try first the parameters that help most: on noisy or small tables `max_iter`, `dropout` and
    `hidden_layer_sizes`; with many similar classes twice the epochs; if the codes must be
    L2-normalized `metric="cosine"`.

    Parameters
    ----------
    n_components : int, default=None
        Number of components of a code, the embedding of a sample. If None, `min(n_features, 32)`
        for each of the `n_members`, or, if `encoder` is a module, what it returns. With several
        members it must be divisible by their number, and each has an equal part. 2 is for pictures.
        For neighbors and clustering, 10 to 64 are usual: too few cannot separate many classes, and
        more than 64 rarely help and take time behind the embedding. May be larger than
        `n_features`.

    hidden_layer_sizes : array-like of int, default=(256, 256)
        Widths of the hidden layers. A linear skip connection runs beside them, and starts at the
        principal components. Smaller layers, (64, 64) say, overfit less on a few hundred samples;
        wider ones, (512, 512), gain little and take longer. `()` is a linear encoder. Not used with
        `encoder`.

    activation : {"identity", "logistic", "tanh", "relu", "gelu", "silu"}, default="relu"
        Activation of the hidden layers. It matters little. Not used with `encoder`.

    dropout : float or "auto", default="auto"
        Probability, in [0, 1), with which a hidden unit is set to zero during training. Usual
        values are 0 to 0.5. More reduces overfitting, and too much leaves small classes mixed.
        "auto" means 0.5 with more than 256 features and fewer than 10 samples per feature (text,
        counts, gene expression), and 0.2 otherwise, also for a decoder. Not used with `encoder`.

    encoder : callable or torch.nn.Module, default=None
        A custom encoder: a callable `(n_features, n_components) -> nn.Module`, or a module, of
        which `fit` trains a copy. It maps rows (n, n_features) in float32 to codes (n,
        n_components). Only torch's random numbers are seeded for it. Parts whose parameters are all
        frozen (`requires_grad_(False)`) run in evaluation mode and stay unchanged, batch norm
        included. A class that starts from the data is derived from :class:`~sknca.Encoder`. If
        None, the built-in encoder is used. (Use a function with
        `Pipeline(memory=...)`: equal modules have different pickles, so its cache does not
        recognize a module.)

    n_members : int, default=1
        Number of encoders that are trained side by side, an ensemble. Each has its own initial
        weights, dropout and loss; batches are shared. A code consists of their codes, one after the
        other, scaled so that squared Euclidean distance is the mean over the members. Each member
        leaves out another part of the samples, one in `n_members`, stratified by class (whole
        `groups`, if `fit` gets them), so `oob_decision_function_` shows how good the probabilities
        are. Members make probabilities less over-confident, and neighbors more accurate if classes
        overlap. Each takes about as long as one encoder. 4 to 8 are usual; with 2, each learns from
        half of the samples. An `encoder` must then be a callable, which is called once for each
        member. Members learn from all samples in `partial_fit`, with `warm_start`, and if labels
        are spread.

    scale : bool, default=True
        Whether each feature is scaled by itself, robustly: by its interquartile range or, if it is
        mostly one value, by the typical distance of the other values from that one. If False, all
        features share one scale, so that features of larger values count more: use it for pixels
        and for embeddings of another model. Outliers are clipped smoothly in both cases. Not used
        with `encoder`, nor with a linear encoder.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        Distance between codes: squared Euclidean, Euclidean, or one minus the cosine. With
        "euclidean" probabilities fall more slowly with the distance, and the pull of a pair does
        not grow with it, so that single far samples and wrong labels count less. With "cosine" the
        codes are L2-normalized, so that Euclidean neighbors are the same neighbors: use it for
        k-means, and if the codes go to a library that expects unit vectors. With one feature, a
        normalized code can only be +1 or -1.

    q : float or "auto", default="auto"
        From 0 to 1: how little a sample counts that is far from all of its class. 0 is the soft
        nearest neighbor loss, in which every sample counts; 1 is the objective of NCA. Larger
        values resist wrong labels [6]_, and learn rare patterns more slowly. It rises from 0 to
        this value over the first half of the epochs, because at first all samples are far from
        their class. Usual values are 0 to 0.9. "auto" aims at 0.7. After a third of the epochs, if
        the probability that a training sample picks a neighbor of another class is less than 0.2,
        it is lowered, to 0 below 0.1. With `tol` it is 0, so that the losses of epochs are
        comparable.

    temperature : float or "auto", default="auto"
        Positive, in units of the distance. "auto" means 1 with "sqeuclidean", 0.3 with "euclidean",
        and 0.1 with "cosine", whose distances are at most 2; `temperature_` reports it. Usual
        values are 0.1 to 10, 0.1 to 1, and 0.05 to 0.15. At a small temperature only the nearest
        neighbors count, so that a class may stay in several clusters; at a large one all samples
        count, and each class is drawn into one cluster. Codes adapt their size to it with
        "sqeuclidean", so accuracy depends little on it. With "cosine" they cannot, and classes stay
        mixed if it is too large.

    temperature_schedule : {"constant", "annealed", "learned"} or callable, default="constant"
        How the temperature changes from `temperature`: "constant" keeps it; "annealed" is
        `temperature / (1 + epoch) ** 0.55` [4]_; "learned" trains it with the network, one for each
        layer; a callable maps the epoch, from 0 to the last, to the temperature. A
        :class:`~sknca.TemperatureSchedule` gets the number of epochs too. Validation uses the
        temperature of the last epoch.

    layers : {"last", "all"} or sequence of int or str, default="last"
        The layers on whose activations the loss is computed; it is summed over them. "last" is the
        code, "all" is every hidden layer and the code [3]_. Layers can be chosen by index (the code
        is the last) or by the name of a submodule of `encoder` ("code" is the code). The hidden
        layers of a custom encoder are its direct submodules except the last. Layers after the last
        chosen one get no gradient, so include the code unless a primary loss is used.

    code_units : int, default=None
        The loss is computed on only this many of the first units of each layer. If None, on all.

    primary_loss : {"reconstruction", "classification"} or class, default=None
        A loss that is minimized together with `snnl_weight` times the soft nearest neighbor loss:
        the mean squared error with which a decoder reconstructs `X`, the cross-entropy of a linear
        layer on the codes, or a class that is derived from :class:`~sknca.PrimaryLoss`. If None,
        there is none. The reconstruction error is in the units of `X`: scale the features first, or
        the largest ones dominate.

    snnl_weight : float, default=1.0
        Weight of the soft nearest neighbor loss beside the primary loss. Usual values are 0.01 to
        100. Without a primary loss only its sign matters. A negative weight entangles the classes.

    decoder : callable or torch.nn.Module, default=None
        A custom decoder for `primary_loss="reconstruction"`: a callable `(n_components, n_features)
        -> nn.Module`, or a module, of which `fit` trains a copy. If None, an MLP with
        `hidden_layer_sizes` in reverse order is used.

    class_weight : dict or "balanced", default=None
        Weights of the classes in the mean of the loss, and in a cross-entropy beside it, as
        `{label: weight}`; a class that is not named has weight 1. As neighbors of others, all
        samples count the same. "balanced" weights classes inversely to the number of their samples
        in an epoch. None is usually better, even if classes are rare: an epoch uses at most 20
        samples of one class for each sample of the others, different ones in each epoch.

    unlabeled : label, default=None
        Samples with this value in `y` have no label. Labels are spread to them (`spread_labels`),
        and they take part in a reconstruction. If they are more than half, each batch is half
        labeled: labeled samples are used several times in an epoch. If it is NaN (or `pandas.NA`),
        missing labels mark them: NaN, None and NA alike. If None, every value is a label.

    spread_labels : bool, default=True
        Whether samples without a label are learned from with the labels of their neighborhood [7]_.
        These are found by random walks along nearest neighbors, five times in a training: first
        among the features, then among the codes. The more classes compete for a sample, the less
        its label counts. Set it to False if samples that are close together often belong to
        different classes. Then samples without a label are left out, or with
        `primary_loss="reconstruction"` only reconstructed. `partial_fit`, a negative `snnl_weight`
        and training without labels do not spread any.

    learning_rate_init : float, default=0.003
        The highest learning rate of AdamW, reached by a warm-up over the first fifth of all epochs
        and followed by a cosine decay to 0 (one-cycle schedule). Usual values are 0.0003 to 0.01.
        If it is too high, the loss oscillates or diverges; if it is too low, classes stay mixed.

    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW. Usual values are 0 to 0.1. More reduces overfitting a
        little; dropout and fewer epochs reduce it more.

    adversarial_radius : float or "auto", default="auto"
        Length of the perturbations in adversarial training [5]_; 0 turns it off. After the first
        eighth of the epochs, some batches get an extra step on adversarial examples: each sample is
        perturbed by one gradient step of this Euclidean length that raises the loss. The codes
        become robust to small changes of a sample. With the built-in encoder, features are in units
        of their standard deviation, and 0.3 to 1.5 are usual. With a linear or custom encoder they
        are in units of `X`: scale them, and stay well below the distance between samples of
        different classes. A decoder still learns to reconstruct the unperturbed sample, and the
        reported losses are those of unperturbed samples. "auto" means 0.7 with the built-in
        encoder, and 0 with a linear or custom one.

    adversarial_fraction : float, default=0.25
        Fraction of the batches of an epoch, in (0, 1], that get an adversarial step, rounded up to
        one batch at least. The training takes longer by about this fraction, or by more if parts of
        an encoder are frozen.

    batch_size : int or "auto", default="auto"
        Samples in a mini-batch, at least 4; all of them if there are no more. Each class in a batch
        has at least two samples there, if the data allow it, and a batch may be up to three samples
        larger for that. Larger batches give each sample more neighbors and keep a GPU busy, but
        batches of thousands were less accurate on small tables. With hundreds of classes try 1024.
        "auto" means 256.

    max_iter : int or "auto", default="auto"
        Number of epochs. "auto" means 55, and fewer for a table of more than 80 batches (20480
        samples in batches of 256): the number falls with the square root of the number of batches,
        to 8 for a million samples. `n_iter_` reports it. Usual values are 10 to 150. Too many
        epochs take time and memorize wrong labels; too few leave classes mixed. With many similar
        classes try twice as many first.

    tol : float, default=None
        Stop if the loss (the validation loss, if there is one) has not improved by `tol` for
        `n_iter_no_change` epochs. If None, all epochs are trained.

    n_iter_no_change : int, default=10
        Epochs without an improvement after which to stop, with `tol` or `early_stopping`.

    early_stopping : bool or "auto", default="auto"
        "auto" holds out `validation_fraction` of the samples, but at least 100 or a quarter, for
        the first half of the epochs, to detect overfitting: their loss no longer falls while the
        training samples are still being learned. If the training overfits, as with wrong labels, it
        starts again and runs for 15 to 27 % of the epochs. Otherwise it goes on. In both cases the
        final epochs use all samples, and `overfits_` reports which happened. "auto" does nothing
        with fewer than 100 labeled samples, with fewer than 20 epochs (or 7, if `max_iter="auto"`
        chose them or there are `groups`), with `tol`, `X_val`, reconstruction, layers chosen one by
        one or a negative `snnl_weight`, and when `warm_start` continues a training. Then
        `overfits_` is None, and `verbose` shows why. If samples are near-copies of each other, pass
        their `groups` to `fit`: otherwise overfitting is not detected.

        True holds the samples out until the end, stops if their loss has not improved (by `tol`, or
        by 0) for `n_iter_no_change` epochs, and keeps the weights of the best epoch. The validation
        loss is computed between held-out and training samples, with `q=0`. False does neither.

    validation_fraction : float, default=0.1
        Fraction of the samples, in (0, 1), that `early_stopping` holds out, stratified by class; at
        most 10000 samples. If `fit` gets `groups`, whole groups are held out, one at least.

    warm_start : bool, default=False
        Continue from what the previous `fit` learned (network, and decoder, linear layer and
        temperatures if they still fit), with a new optimizer. The fitted attributes describe the
        last `fit`.

    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:1" and so on. "auto" is CUDA if there is a GPU that computes, and if
        `X` has 1000 samples or more or the encoder is a custom one: with few samples the CPU has
        finished before a GPU has started.

    verbose : int, default=0
        1 shows a progress bar with the time left, the losses, the temperature and the samples
        learned from in a second. 2 prints a line for each epoch instead, for log files.

    random_state : int or RandomState, default=None
        Determines the initial weights, batches, dropout and held-out samples. With an int, results
        are reproducible: the same data give the same codes on the same machine. If None, each fit
        draws a new seed, and NumPy's global state is not used. No global random state is changed.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained encoder, on `device_`; what `transform` calls. With several `n_members`, they
        are its submodules `members`.

    classes_ : ndarray of shape (n_classes,)
        The class labels, without `unlabeled`. Absent if nothing is learned from labels.

    transduction_ : ndarray of shape (n_samples,)
        The label of each sample: the given one or, if there was none, the most probable one among
        the final codes. A sample that no label reaches has the most frequent one. Absent if no
        labels were spread.

    decoder_ : torch.nn.Module
        The trained decoder, with `primary_loss="reconstruction"`.

    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        With several `n_members`: the probabilities of the classes for each training sample, by the
        member that left it out. They are those of :class:`SoftNeighborsClassifier`, at
        `temperature_`, among the samples that the member learned from, or about 4096 of them. For a
        sample that no member learned from (it has no weight, or was held out) it is the mean over
        the members. A sample that all learned from, because its class has too few others, has NaN.
        Absent if members left no samples out.

    oob_member_ : ndarray of shape (n_samples,)
        The member that left out each training sample, -1 if none did. Its codes are a part of those
        that `transform` returns: `np.split(codes, n_members, axis=1)[member]`. Absent if members
        left no samples out.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` had names that are all strings.

    n_iter_ : int
        Number of epochs trained; those of the second training, if training started again.

    overfits_ : bool or None
        Whether held-out samples showed overfitting, so that training started again for fewer
        epochs. None if this was not checked: `early_stopping` says when.

    loss_ : float
        Training loss of the last epoch.

    loss_curve_ : list of float
        Training loss of each epoch, a mean over its batches. While `q` rises, losses of different
        epochs are not comparable.

    best_loss_ : float
        The lowest training loss.

    validation_loss_curve_ : list of float or None
        Validation loss after each epoch. None without validation.

    temperature_ : float or ndarray of shape (n_layers,)
        The temperature of the last epoch; one for each layer if several were learned.

    device_ : torch.device
        The device of `network_`.

    history_ : list of dict
        One record for each epoch: `epoch` (from 0), `loss`, with a primary loss its parts
        ("snnl" and "reconstruction" or "classification"), `temperature`, `q`, `learning_rate` (of
        the last batch), `validation_loss` (None without validation).

    See Also
    --------
    sklearn.neighbors.NeighborhoodComponentsAnalysis : The linear special case.
    sknca.functional.soft_nearest_neighbor_loss : The loss.

    References
    ----------
    .. [1] J. Goldberger, S. Roweis, G. Hinton, R. Salakhutdinov. "Neighbourhood Components
           Analysis". NIPS 2004.
    .. [2] R. Salakhutdinov, G. Hinton. "Learning a Nonlinear Embedding by Preserving Class
           Neighbourhood Structure". AISTATS 2007.
    .. [3] N. Frosst, N. Papernot, G. Hinton. "Analyzing and Improving Representations with
           the Soft Nearest Neighbor Loss". ICML 2019.
    .. [4] A. F. Agarap, A. P. Azcarraga. "Improving k-Means Clustering Performance with
           Disentangled Internal Representations". IJCNN 2020.
    .. [5] I. Goodfellow, J. Shlens, C. Szegedy. "Explaining and Harnessing Adversarial
           Examples". ICLR 2015.
    .. [6] Z. Zhang, M. R. Sabuncu. "Generalized Cross Entropy Loss for Training Deep Neural
           Networks with Noisy Labels". NeurIPS 2018.
    .. [7] A. Iscen, G. Tolias, Y. Avrithis, O. Chum. "Label Propagation for Deep Semi-Supervised
           Learning". CVPR 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknca import SNNLEmbedding
    >>> X, y = load_iris(return_X_y=True)
    >>> embedding = SNNLEmbedding(n_components=2, random_state=0)
    >>> knn = make_pipeline(StandardScaler(), embedding, KNeighborsClassifier())
    >>> bool(cross_val_score(knn, X, y).mean() > 0.9)
    True
    """

    temperature_: float | NDArray[np.float64]
    overfits_: bool | None

    q: float | Literal["auto"]
    temperature: float | Literal["auto"]
    temperature_schedule: str | TemperatureSchedule | Callable[[int], float]
    layers: str | Sequence[int | str]
    code_units: int | None
    primary_loss: Literal["reconstruction", "classification"] | type[PrimaryLoss] | None
    snnl_weight: float
    decoder: nn.Module | Callable[[int, int], nn.Module] | None
    class_weight: Mapping[Any, float] | Literal["balanced"] | None

    _most_epochs = 55

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseEmbedding._parameter_constraints,
        "adversarial_radius": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "q": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "temperature_schedule": [
            StrOptions(TEMPERATURE_SCHEDULES.keys()),
            TemperatureSchedule,
            callable,
        ],
        "layers": [StrOptions({"last", "all"}), "array-like"],
        "code_units": [Interval(Integral, 1, None, closed="left"), None],
        "primary_loss": [StrOptions(PRIMARY_LOSSES.keys()), HasMethods(["build", "of_rows"]), None],
        "snnl_weight": [Interval(Real, None, None, closed="neither")],
        "decoder": [callable, None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        hidden_layer_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        dropout: float | Literal["auto"] = "auto",
        encoder: nn.Module | Callable[[int, int], nn.Module] | None = None,
        n_members: int = 1,
        scale: bool = True,
        metric: MetricName | Metric = "sqeuclidean",
        q: float | Literal["auto"] = "auto",
        temperature: float | Literal["auto"] = "auto",
        temperature_schedule: str | TemperatureSchedule | Callable[[int], float] = "constant",
        layers: str | Sequence[int | str] = "last",
        code_units: int | None = None,
        primary_loss: Literal["reconstruction", "classification"] | type[PrimaryLoss] | None = None,
        snnl_weight: float = 1.0,
        decoder: nn.Module | Callable[[int, int], nn.Module] | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        unlabeled: Any = None,
        spread_labels: bool = True,
        learning_rate_init: float = 3e-3,
        weight_decay: float = 1e-2,
        adversarial_radius: float | Literal["auto"] = "auto",
        adversarial_fraction: float = 0.25,
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int | Literal["auto"] = "auto",
        tol: float | None = None,
        n_iter_no_change: int = 10,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        verbose: int | bool = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self._set_parameters(locals())

    def _plan(self) -> Plan:
        primary = check_primary_loss(self.primary_loss)
        objective = SNNLPlan(
            metric=self.metric,
            temperature=check_metric(self.metric).temperature_of(self.temperature),
            schedule=check_temperature_schedule(self.temperature_schedule),
            q=self._q(),
            adapts_q=self.q == "auto",
            layers=self.layers,
            code_units=self.code_units,
            primary=primary,
            decoder=DecoderPlan(self.decoder, self._sizes[::-1], self.activation, self.dropout),
            snnl_weight=self.snnl_weight,
            class_weight=self.class_weight,
            batch_size=self._largest_batch(),
        )
        learns_from_unlabeled = primary is not None and not primary.needs_labels
        fixed_classes = primary is not None and primary.fixed_classes
        needs_labels = self._needs_labels()
        of_user = not is_of_package(primary) or self.decoder is not None
        return self._plan_of(
            objective,
            {"temperature": objective.temperature},
            needs_labels=needs_labels,
            learns_from_unlabeled=learns_from_unlabeled,
            spreads_labels=self.spread_labels and needs_labels and self.snnl_weight >= 0,
            may_validate_on_other_classes=not fixed_classes,
            has_fixed_classes=fixed_classes,
            runs_code_of_others=not is_plain_maker(self.encoder) or of_user,
            unwatchable=self._unwatchable(learns_from_unlabeled),
        )

    def _unwatchable(self, learns_from_unlabeled: bool) -> str | None:
        """Why samples that are held out would not show overfitting, if so."""
        reasons = {
            "tol is given": self.tol is not None,
            "snnl_weight is not positive": self.snnl_weight <= 0,
            "primary_loss also learns from samples without a label": learns_from_unlabeled,
            "layers are chosen one by one": not isinstance(self.layers, str),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    @property
    def _primary(self) -> type[PrimaryLoss] | None:
        """None also for a value that `fit` refuses, because tags are read before."""
        try:
            return check_primary_loss(self.primary_loss)
        except ValueError:
            return None

    def _needs_labels(self) -> bool:
        primary = self._primary
        return bool(self.snnl_weight != 0) or primary is None or primary.needs_labels

    def _q(self) -> float:
        if self.q != "auto":
            return float(self.q)
        return _AUTO_Q if self.tol is None else 0.0  # losses that are compared must be alike

    def _keep(self, fitted: Fitted) -> None:
        super()._keep(fitted)
        objective = fitted.objective
        temperature = objective.settings(max(self.n_iter_ - 1, 0))["temperature"]
        self.temperature_ = np.array(temperature) if isinstance(temperature, list) else temperature
        self.overfits_ = fitted.overfits
        self.__dict__.pop("decoder_", None)
        decoder = objective.decoder
        if decoder is not None:
            self.decoder_ = decoder

    @with_types(available_if(lambda self: self._primary is not None and self._primary.has_decoder))
    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Reconstruct samples from codes, with a `primary_loss` that has a decoder only.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Reconstructed samples, in the floating-point dtype of `X` (float64 if it has none).
        """
        check_is_fitted(self, "decoder_")
        codes = check_array(as_array(X), dtype=FLOATS)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {codes.shape[1]} features, but the decoder of {type(self).__name__} is "
                f"expecting codes of {self._n_features_out} components."
            )
        rows = apply_to_array(self.decoder_, DenseTable(codes), self.n_features_in_)
        return rows if self._center is None else rows + self._center.astype(rows.dtype)

    def layer_entanglement(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        temperature: float | Literal["auto"] = "auto",
        metric: MetricName | Metric = "cosine",
    ) -> dict[str, float]:
        """Entanglement of the classes in each layer: lower means better separated.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Labels of the samples. Samples with the label `unlabeled` are excluded.

        temperature : float or "auto", default="auto"
            A positive number, in units of the distance. "auto" means 0.1 with "cosine", 1 with
            "sqeuclidean" and 0.3 with "euclidean".

        metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="cosine"
            The distance between the activations of a layer.

        Returns
        -------
        entanglement : dict from str to float
            :func:`~sknca.metrics.entanglement_score` of "input", of every hidden layer, and
            of "code", in this order.
        """
        check_is_fitted(self)
        if y is None:
            raise ValueError("layer_entanglement requires y to be passed, but the target y is None")
        labels = without_unlabeled(read_labels(y), self.unlabeled)
        table = read_table(self, X, labels.is_labeled)
        table = table.take(np.flatnonzero(labels.is_labeled))
        score = partial(
            entanglement_score,
            labels=labels.values,
            temperature=temperature,
            metric=metric,
            device=device_of(self.network_, default=torch.device("cpu")),
        )
        entanglement = {"input": score(table.without_empty_columns())}
        names = choose_layers(self.network_, "all")
        with naming_columns(type(self).__name__, X=X):
            outputs = apply_layers_to_array(self.network_, table, names, self._center)
        for name in names:
            entanglement[describe_layer(self.network_, name)] = score(outputs[name])
        return entanglement

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._needs_labels()
        return tags
