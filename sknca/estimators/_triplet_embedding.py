"""The transformer that minimizes the triplet loss."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from .._compat import Interval, StrOptions
from ..fitting import Plan, TripletPlan
from ..functional import (
    STRATEGIES,
    Find,
    Metric,
    MetricName,
    Strategy,
    StrategyName,
    check_metric,
    check_strategy,
    may_draw_globally,
)
from ..networks import is_plain_maker
from ._base import BaseEmbedding


class TripletEmbedding(BaseEmbedding):
    r"""Supervised nonlinear embedding by the triplet loss.

    An encoder network is trained so that the code of a sample is closer to the codes of its class
    than to those of other classes, by a margin. A triplet is an anchor :math:`a`, a positive
    :math:`p` of its class and a negative :math:`n` of another class. Triplets are mined from each
    batch, and the mean of

    .. math::

        \max(0, d_{ap} - d_{an} + \text{margin})

    over the active ones (with a loss above zero) is minimized, with :math:`d` the distance between
    codes. The network and its training are those of :class:`SNNLEmbedding`, without `layers`,
    `primary_loss`, `class_weight` and `q`.

    The built-in encoder centers each feature, scales it robustly and clips outliers smoothly, so
    that units, offsets and a few extreme values do not matter. A custom or linear encoder gets the
    features unchanged: scale them first, with :class:`~sklearn.preprocessing.StandardScaler`, say.

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
        counts, gene expression), and 0.2 otherwise. Not used with `encoder`.

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
        "euclidean" the pull of a pair does not grow with its distance, so that wrong labels and
        outliers count less. With "cosine" the codes are L2-normalized, so that Euclidean neighbors
        are the same neighbors: use it for k-means, and if the codes go to a library that expects
        unit vectors. With one feature, a normalized code can only be +1 or -1.

    margin : float, "auto" or "soft", default="auto"
        By how much a negative should be farther than a positive, in units of the distance. "auto"
        means 1 with "sqeuclidean", 0.5 with "euclidean", and 0.2 with "cosine", whose distances are
        at most 2. Usual values are 0.3 to 3, 0.2 to 1, and 0.1 to 0.3. If it is too small, training
        stops before the classes are well separated; if it is too large, triplets that are already
        good dominate. "soft" stands for :math:`\log(1 + e^{d_{ap} - d_{an}})`, with which every
        triplet is active. With "cosine" it was worse than a number.

    mining : {"all", "semihard", "hard", "random"}, Strategy or callable, default="all"
        Which triplets of a batch are used. "all" uses every triplet that violates the margin.
        "semihard" [1]_ uses those of them whose negative is farther than the positive, and needs a
        number as margin. "hard" [2]_ uses, for each anchor, its farthest positive and its nearest
        negative. Set `dropout=0` with it: otherwise the farthest positive is far by noise, and all
        codes collapse into one. "random" uses, for each anchor, one random triplet that violates
        the margin. With sample weights, the weight of a triplet is the product of the weights of
        its three samples with "all" and "semihard", and the weight of the anchor with the others.

    unlabeled : label, default=None
        Samples with this value in `y` have no label. Labels are spread to them (`spread_labels`).
        If they are more than half, each batch is half labeled: labeled samples are used several
        times in an epoch. If it is NaN (or `pandas.NA`), missing labels mark them: NaN, None and NA
        alike. If None, every value is a label.

    spread_labels : bool, default=True
        Whether samples without a label are learned from with the labels of their neighborhood [4]_.
        These are found by random walks along nearest neighbors, five times in a training: first
        among the features, then among the codes. The more classes compete for a sample, the less
        its label counts. Set it to False if samples that are close together often belong to
        different classes. Then samples without a label are left out. `partial_fit` does not spread
        labels.

    learning_rate_init : float, default=0.003
        The highest learning rate of AdamW, reached by a warm-up over the first fifth of all epochs
        and followed by a cosine decay to 0 (one-cycle schedule). Usual values are 0.0003 to 0.01.
        If it is too high, the loss oscillates or diverges; if it is too low, classes stay mixed.

    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW. Usual values are 0 to 0.1. More reduces overfitting a
        little; dropout and fewer epochs reduce it more.

    adversarial_radius : float, default=0.0
        Length of the perturbations in adversarial training [3]_; 0 turns it off. After the first
        eighth of the epochs, some batches get an extra step on adversarial examples: each sample is
        perturbed by one gradient step of this Euclidean length that raises the loss. The codes
        become robust to small changes of a sample. With the built-in encoder, features are in units
        of their standard deviation, and 0.3 to 1.5 are usual. With a linear or custom encoder they
        are in units of `X`: scale them, and stay well below the distance between samples of
        different classes. Samples in no active triplet are not perturbed. The reported losses are
        those of unperturbed samples.

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
        Number of epochs. "auto" means 75, and fewer for a table of more than 80 batches (20480
        samples in batches of 256): the number falls with the square root of the number of batches,
        to 11 for a million samples. `n_iter_` reports it. Usual values are 10 to 150. Too many
        epochs take time and memorize wrong labels; too few leave classes mixed. With many similar
        classes try twice as many first.

    tol : float, default=None
        Stop if the loss (the validation loss, if there is one) has not improved by `tol` for
        `n_iter_no_change` epochs. If None, all epochs are trained. The training loss, a mean over
        active triplets only, need not fall: use `early_stopping`.

    n_iter_no_change : int, default=10
        Epochs without an improvement after which to stop, with `tol` or `early_stopping`.

    early_stopping : bool, default=False
        Hold out `validation_fraction` of the samples, stop if their loss has not improved (by
        `tol`, or by 0) for `n_iter_no_change` epochs, and keep the weights of the best epoch. The
        validation loss is the soft loss of one triplet for each held-out sample: its nearest
        training sample of the same class, and its nearest of another class.

    validation_fraction : float, default=0.1
        Fraction of the samples, in (0, 1), that `early_stopping` holds out, stratified by class; at
        most 10000 samples. If `fit` gets `groups`, whole groups are held out, one at least.

    warm_start : bool, default=False
        Continue from the network that the previous `fit` learned, with a new optimizer. The fitted
        attributes describe the last `fit`.

    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:1" and so on. "auto" is CUDA if there is a GPU that computes, and if
        `X` has 1000 samples or more or the encoder is a custom one: with few samples the CPU has
        finished before a GPU has started.

    verbose : int, default=0
        1 shows a progress bar with the time left, the losses and the samples
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
        The class labels.

    transduction_ : ndarray of shape (n_samples,)
        The label of each sample: the given one or, if there was none, the most probable one among
        the final codes. A sample that no label reaches has the most frequent one. Absent if no
        labels were spread.

    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        With several `n_members`: the probabilities of the classes for each training sample, by the
        member that left it out. They are those of :class:`SoftNeighborsClassifier`, at its default
        temperature, among the samples that the member learned from, or about 4096 of them. For a
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
        Number of epochs trained.

    loss_ : float
        Training loss of the last epoch.

    loss_curve_ : list of float
        Training loss of each epoch, a mean over its batches.

    best_loss_ : float
        The lowest training loss.

    validation_loss_curve_ : list of float or None
        Validation loss after each epoch. None without validation.

    device_ : torch.device
        The device of `network_`.

    history_ : list of dict
        One record for each epoch: `epoch` (from 0), `loss`, `learning_rate` (of the last batch),
        `validation_loss` (None without validation).

    See Also
    --------
    SNNLEmbedding : Uses all neighbors of a sample together, without a margin.
    sknca.functional.triplet_loss : The loss.

    References
    ----------
    .. [1] F. Schroff, D. Kalenichenko, J. Philbin. "FaceNet: A Unified Embedding for Face
           Recognition and Clustering". CVPR 2015.
    .. [2] A. Hermans, L. Beyer, B. Leibe. "In Defense of the Triplet Loss for Person
           Re-Identification". arXiv:1703.07737, 2017.
    .. [3] I. Goodfellow, J. Shlens, C. Szegedy. "Explaining and Harnessing Adversarial
           Examples". ICLR 2015.
    .. [4] A. Iscen, G. Tolias, Y. Avrithis, O. Chum. "Label Propagation for Deep Semi-Supervised
           Learning". CVPR 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknca import TripletEmbedding
    >>> X, y = load_iris(return_X_y=True)
    >>> embedding = TripletEmbedding(n_components=2, random_state=0)
    >>> knn = make_pipeline(StandardScaler(), embedding, KNeighborsClassifier())
    >>> bool(cross_val_score(knn, X, y).mean() > 0.9)
    True
    """

    margin: float | Literal["auto", "soft"]
    mining: StrategyName | Strategy | Find

    _most_epochs = 75

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseEmbedding._parameter_constraints,
        "margin": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto", "soft"})],
        "mining": [StrOptions(STRATEGIES.keys()), Strategy, callable],
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
        margin: float | Literal["auto", "soft"] = "auto",
        mining: StrategyName | Strategy | Find = "all",
        unlabeled: Any = None,
        spread_labels: bool = True,
        learning_rate_init: float = 3e-3,
        weight_decay: float = 1e-2,
        adversarial_radius: float = 0.0,
        adversarial_fraction: float = 0.25,
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int | Literal["auto"] = "auto",
        tol: float | None = None,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        verbose: int | bool = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self._set_parameters(locals())

    def _plan(self) -> Plan:
        margin = check_metric(self.metric).margin if self.margin == "auto" else self.margin
        objective = TripletPlan(self.metric, margin, self.mining)
        of_user = may_draw_globally(check_strategy(self.mining))
        runs_code_of_others = not is_plain_maker(self.encoder) or of_user
        return self._plan_of(objective, {"margin": margin}, runs_code_of_others=runs_code_of_others)
