"""The soft nearest neighbor loss as a module, for custom training loops."""

import math

import torch
from torch import Tensor, nn

from ..functional import (
    Metric,
    check_metric,
    check_q,
    check_reduction,
    check_temperature,
    soft_nearest_neighbor_loss,
)


class SNNLoss(nn.Module):
    """Soft nearest neighbor loss of codes with labels, as a module.

    It is :func:`~sknca.functional.soft_nearest_neighbor_loss` with fixed settings and, optionally,
    a trainable temperature. Use it in your own training loop. :class:`~sknca.SNNLEmbedding` trains
    a network with the same loss.

    Parameters
    ----------
    temperature : float, default=1.0
        A positive number, in units of the distance. Usual values are 0.1 to 10 with "sqeuclidean",
        0.1 to 1 with "euclidean", and around 0.1 with "cosine". With a small temperature only the
        nearest neighbors count; with a large one all samples count.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance between codes: squared Euclidean, Euclidean, or one minus the cosine.

    q : float, default=0.0
        Robustness to wrong labels, from 0 to 1: the larger, the less samples count that are far
        from all of their class. 0 is the soft nearest neighbor loss, and 1 is the objective of
        NCA. If labels are wrong, 0.7 is usual.

    learn_temperature : bool, default=False
        Whether the temperature is a trainable parameter of the module, which starts at
        `temperature`. Optimize it without weight decay, which would move it toward 1.

    reduction : {"mean", "sum", "none"}, default="mean"
        The weighted mean over the samples that have a positive (another sample of their class), the
        weighted sum, or the loss of each sample.

    Attributes
    ----------
    temperature : float or Tensor of shape ()
        The current temperature. Set it to lower it from epoch to epoch.

    Raises
    ------
    ValueError
        If `temperature`, `metric`, `q` or `reduction` is not as described.

    See Also
    --------
    sknca.functional.soft_nearest_neighbor_loss : The loss as a function.

    Examples
    --------
    >>> import torch
    >>> from sknca import SNNLoss
    >>> loss = SNNLoss(metric="cosine", temperature=0.1)
    >>> loss
    SNNLoss(temperature=0.1, metric='cosine')
    >>> codes = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], requires_grad=True)
    >>> loss(codes, torch.tensor([0, 0, 1])).backward()
    >>> codes.grad.shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        metric: str | Metric = "sqeuclidean",
        q: float = 0.0,
        learn_temperature: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        check_metric(metric)
        check_reduction(reduction)
        check_q(q)
        self.metric = metric
        self.q = q
        self.reduction = reduction
        self.log_temperature: nn.Parameter | None = None
        if learn_temperature:
            start = torch.zeros((), dtype=torch.float32, device="cpu")
            self.log_temperature = nn.Parameter(start)
        self.temperature = temperature

    @property
    def temperature(self) -> float | Tensor:
        if self.log_temperature is None:
            return self._temperature
        return bounded_exp(self.log_temperature)

    @temperature.setter
    def temperature(self, value: float) -> None:
        check_temperature(value, torch.empty(0, dtype=torch.float64, device="cpu"))
        if self.log_temperature is None:
            self._temperature = float(value)
        else:
            self.log_temperature.data.fill_(math.log(value))

    def forward(self, codes: Tensor, labels: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Parameters
        ----------
        codes : Tensor of shape (n, d)
            Codes: the outputs of the network.

        labels : Tensor of shape (n,)
            Class labels of the codes, integers or booleans.

        sample_weight : Tensor of shape (n,), default=None
            Non-negative weights of the samples, in the mean and as neighbors of other samples.

        Returns
        -------
        loss : Tensor of shape () or, with reduction "none", (n,)
            In the real dtype of `codes`, at least float32.
        """
        return soft_nearest_neighbor_loss(
            codes,
            labels,
            self.temperature,
            q=self.q,
            metric=self.metric,
            sample_weight=sample_weight,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        shown = f"temperature={float(torch.as_tensor(self.temperature).detach()):.4g}"
        shown += f", metric={self.metric!r}"
        if self.q > 0:
            shown += f", q={self.q}"
        if self.log_temperature is not None:
            shown += ", learn_temperature=True"
        return shown if self.reduction == "mean" else f"{shown}, reduction={self.reduction!r}"


def bounded_exp(log_temperature: Tensor) -> Tensor:
    """The learned temperature, clipped to between 1e-6 and 1e6."""
    return log_temperature.clamp(-13.8, 13.8).exp()
