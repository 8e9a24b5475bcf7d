"""How the gallery takes the pictures of an example, and makes its thumbnail."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.transforms import Bbox
from sphinx.errors import ExtensionError
from sphinx_gallery.scrapers import matplotlib_scraper
from sphinx_gallery.utils import scale_image

#: With more axes than these, a thumbnail shows a corner of so many rows and columns of them.
_MANY_AXES = 12
_CORNER = (3, 4)


def take(block, block_vars, gallery_conf, **options):
    """The pictures of a block of an example, none of them with an empty frame.

    The gallery takes them at the end of a block, and closes the figures: axes that are made in one
    block and drawn on in the next would stay empty.
    """
    for number in plt.get_fignums():
        for ax in plt.figure(number).axes:
            if ax.get_visible() and ax.axison and not ax.has_data():
                raise ExtensionError(f"{block_vars['src_file']} draws an empty frame.")
    if plt.get_fignums():
        _save_panel(plt.figure(plt.get_fignums()[0]), Path(block_vars["src_file"]), gallery_conf)
    return matplotlib_scraper(block, block_vars, gallery_conf, **options)


def _images(src_dir):
    return Path(src_dir) / "auto_examples" / "images"


def _save_panel(figure, source, gallery_conf):
    """The largest panel of the last figure of an example, the last one of equals; or the lower left
    corner of a grid of many.
    """
    panels = [ax for ax in figure.axes if ax.get_visible() and ax.has_data()]
    figure.canvas.draw()  # places the axes, and there they stay
    figure.set_layout_engine("none")
    if len(panels) > _MANY_AXES:
        box = Bbox.union([ax.get_tightbbox() for ax in _corner(panels)])
    else:
        box = max(reversed(panels), key=lambda ax: round(_area(ax), -3)).get_tightbbox()
    path = _images(gallery_conf["src_dir"]) / "panels" / f"{source.stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    inches = box.padded(4).transformed(figure.dpi_scale_trans.inverted())
    figure.savefig(path, bbox_inches=inches)


def _corner(panels):
    """The lowest rows and the first columns of a grid of panels."""
    places = {ax: ax.get_window_extent().min.round() for ax in panels}
    first_columns = sorted({x for x, _ in places.values()})[: _CORNER[1]]
    lowest = sorted({y for _, y in places.values()})[: _CORNER[0]]
    return [ax for ax, (x, y) in places.items() if x in first_columns and y in lowest]


def _area(ax):
    box = ax.get_window_extent()
    return box.width * box.height


def show_one_panel(app):
    """Thumbnails with one panel: of a whole figure nothing can be read at their size."""
    images = _images(app.srcdir)
    for panel in (images / "panels").glob("*.png"):
        thumbnail = images / "thumb" / f"sphx_glr_{panel.stem}_thumb.png"
        if thumbnail.exists():
            scale_image(panel, thumbnail, *app.config.sphinx_gallery_conf["thumbnail_size"])
