"""The picture of README and of the site's first page, redrawn from its example.

python docs/draw_first_picture.py
"""

import io
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

EXAMPLE = "plot_methods_side_by_side"
ROOT = Path(__file__).resolve().parents[1]

matplotlib.use("agg")
plt.show = lambda: None
runpy.run_path(str(ROOT / "examples" / f"{EXAMPLE}.py"))
drawn = io.BytesIO()
plt.gcf().savefig(drawn, dpi=100)
# A palette makes the file several times smaller.
picture = Image.open(drawn).convert("RGB").quantize(64)
picture.save(ROOT / "docs" / "images" / "side_by_side.png", optimize=True)
