"""The soft nearest neighbour loss as a module, for a training loop of the user's own."""

import math

import torch
from torch import Tensor, nn

from ..functional import soft_nearest_neighbor_loss
from ..functional._checks import check_q, check_reduction, check_temperature
from ..functional._metrics import check_metric


class SNNLoss(nn.Module):
    """Soft nearest neighbour loss of codes with labels, as a module.

    It is :func:`~sknca.functional.soft_nearest_neighbor_loss` with its settings kept, and, if
    asked for, with a temperature that is trained. :class:`~sknca.SNNLEmbedding` trains a
    network with it; this is for a training loop of your own.

    Parameters
    ----------
    temperature : float, default=1.0
        Positive, in units of the distance.

    metric : {"sqeuclidean", "cosine"}, default="sqeuclidean"
        The distance between codes: squared Euclidean, or one minus the cosine.

    q : float, default=0.0
        From 0 to 1, how little samples count that are far from all of their class: 0 is the soft
        nearest neighbour loss, 1 the objective of NCA. Larger values suit wrong labels.

    learn_temperature : bool, default=False
        Whether the temperature is a parameter of the module, which starts at `temperature`.
        Give it to the optimizer without weight decay, which would draw it to 1.

    reduction : {"mean", "sum", "none"}, default="mean"
        The weighted mean over the rows that have a partner, the weighted sum, or the loss of
        each row.

    Attributes
    ----------
    temperature : float or Tensor of shape ()
        The temperature as it stands. Set it to lower it from epoch to epoch.

    Raises
    ------
    ValueError
        If `temperature`, `metric`, `q` or `reduction` is not as described.

    See Also
    --------
    sknca.functional.soft_nearest_neighbor_loss : The loss, and what it does where.

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
        metric: str = "sqeuclidean",
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
            Codes; what comes out of the network.

        labels : Tensor of shape (n,)
            Their class labels, integers or booleans.

        sample_weight : Tensor of shape (n,), default=None
            Non-negative weights: of a row in the mean, and as a neighbour of others.

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
    """Temperatures between 1e-6 and 1e6, whatever was learned."""
    return log_temperature.clamp(-13.8, 13.8).exp()
