"""How the gallery takes the pictures of an example."""

import matplotlib.pyplot as plt
from sphinx.errors import ExtensionError
from sphinx_gallery.scrapers import matplotlib_scraper


def take(block, block_vars, gallery_conf, **options):
    """The pictures of a block of an example, none of them with an empty frame.

    The gallery takes them at the end of a block, and closes the figures: axes that are made in one
    block and drawn on in the next would stay empty.
    """
    for number in plt.get_fignums():
        for ax in plt.figure(number).axes:
            if ax.get_visible() and ax.axison and not ax.has_data():
                raise ExtensionError(f"{block_vars['src_file']} draws an empty frame.")
    return matplotlib_scraper(block, block_vars, gallery_conf, **options)
