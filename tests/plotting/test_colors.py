"""Colors of classes can be told apart, with any kind of color vision: distances in CIELAB."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sknca.plotting._style import _MARKERS, UNLABELED, class_colors

#: What each kind of color vision makes of linear RGB (Machado, Oliveira and Fernandes, 2009).
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
WHITE = [0.95047, 1, 1.08883]


def lab(colors, vision="normal"):
    """CIELAB (n, 3) of colors in sRGB (n, 3), from 0 to 1."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    xyz = seen @ np.transpose(TO_XYZ) / WHITE
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def distances(colors, vision):
    """Of each pair (n, n), infinite on the diagonal."""
    z = lab(colors, vision)
    d = np.linalg.norm(z[:, None] - z, axis=2)
    np.fill_diagonal(d, np.inf)
    return d


def colors_of(n_classes):
    return class_colors(n_classes)(np.arange(n_classes))[:, :3]


def test_lab():
    z = lab(np.array([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]))
    np.testing.assert_allclose(z, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.02)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("n_classes", [2, 3, 5, 10])
def test_up_to_ten_classes_by_their_colors(n_classes, vision):
    assert set(_MARKERS[:n_classes]) == {"o"}
    least = distances(colors_of(n_classes), vision).min()
    assert least > (30 if vision == "normal" else 11)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("n_classes", [11, 15, 20])
def test_up_to_twenty_classes_by_their_colors_and_markers(n_classes, vision):
    d = distances(colors_of(n_classes), vision)
    if vision == "normal":
        assert d.min() > 15
    markers = np.array(list(_MARKERS[:n_classes]))
    same = markers[:, None] == markers
    assert d[same].min() > (25 if vision == "normal" else 11)


def test_from_the_background_and_from_points_without_a_label():
    colors = colors_of(20)
    for background in ("white", UNLABELED):
        z = np.linalg.norm(lab(colors) - lab(np.array([to_rgb(background)])), axis=1)
        assert z.min() > 20
