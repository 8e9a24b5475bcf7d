"""The pictures of README and of the pages that come from examples, redrawn.

python docs/draw_pictures.py [NAME ...]
"""

import argparse
import io
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

#: The example whose last figure each picture is.
EXAMPLES = {
    "side_by_side": "plot_methods_side_by_side",
    "loss_curves": "plot_shuffled_labels",
    "entanglement_by_layer": "plot_entanglement_by_layer",
}
ROOT = Path(__file__).resolve().parents[1]


def draw(name):
    plt.close("all")
    runpy.run_path(str(ROOT / "examples" / f"{EXAMPLES[name]}.py"))
    drawn = io.BytesIO()
    plt.gcf().savefig(drawn, dpi=100)
    # A palette makes the file several times smaller.
    picture = Image.open(drawn).convert("RGB").quantize(64)
    picture.save(ROOT / "docs" / "images" / f"{name}.png", optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXAMPLES))
    matplotlib.use("agg")
    plt.show = lambda: None
    for name in parser.parse_args().names or EXAMPLES:
        draw(name)
