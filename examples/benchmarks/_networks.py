"""Encoders with batch normalisation and Gaussian noise."""

from itertools import pairwise

import torch
from torch import nn


class GaussianNoise(nn.Module):
    """Noise of standard deviation `scale` on every unit, in training only."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x + self.scale * torch.randn_like(x) if self.training else x


class NoisyEncoder:
    """What makes an encoder with hidden layers of `widths`, as the parameter `encoder` takes it.

    Noise falls on the input, and in every hidden layer between normalisation and activation.
    """

    def __init__(self, widths, *, input_noise, hidden_noise):
        self.widths = widths
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise

    def __call__(self, n_features, n_components):
        layers = [GaussianNoise(self.input_noise)]
        for fan_in, fan_out in pairwise([n_features, *self.widths]):
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out)]
            layers += [GaussianNoise(self.hidden_noise), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(self.widths[-1], n_components))
