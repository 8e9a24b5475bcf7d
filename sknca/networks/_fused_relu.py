"""The layers of a network with ReLU, as one operator."""

from typing import Any

import torch
from torch import Tensor

from ._dropout import kept_units


class FusedReLU(torch.autograd.Function):
    """Hidden layers (linear, ReLU, dropout), a linear layer, and a linear skip connection.

    It computes the same numbers as the modules do one by one. With small batches each operator
    takes longer to call than to run, and here are about half as many.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (n, n_inputs)
        dropout: float,
        generator: torch.Generator,  # of dropout
        skip: Tensor | None,  # (n_outputs, n_inputs)
        *tensors: Tensor,  # weight and bias of each layer
    ) -> Tensor:
        weights, biases = tensors[::2], tensors[1::2]
        inputs = [x]  # of each layer
        ctx.scale = 1.0
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = torch.addmm(bias, inputs[-1], weight.T).relu_()
            if dropout:
                kept, ctx.scale = kept_units(hidden, dropout, generator)
                hidden.mul_(kept.mul_(ctx.scale))
            inputs.append(hidden)
        ctx.save_for_backward(skip, *weights, *inputs)
        output = torch.addmm(biases[-1], inputs[-1], weights[-1].T)
        return output if skip is None else output.add_(torch.mm(x, skip.T))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        skip, *saved = ctx.saved_tensors
        weights, inputs = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        grad_x = grad_skip = None
        if skip is not None:
            grad_skip = torch.mm(grad.T, inputs[0])
            if ctx.needs_input_grad[0]:
                grad_x = torch.mm(grad, skip)
        gradients: list[Tensor | None] = []
        for i in reversed(range(len(weights))):
            gradients += [grad.sum(0), torch.mm(grad.T, inputs[i])]
            if i > 0:
                grad = torch.mm(grad, weights[i])
                # Units that are not positive were set to zero, by ReLU or by dropout.
                torch.ops.aten.threshold_backward.grad_input(grad, inputs[i], 0, grad_input=grad)
                if ctx.scale != 1:
                    grad.mul_(ctx.scale)
            elif ctx.needs_input_grad[0]:
                of_layers = torch.mm(grad, weights[0])
                grad_x = of_layers if grad_x is None else grad_x.add_(of_layers)
        return grad_x, None, None, grad_skip, *reversed(gradients)
