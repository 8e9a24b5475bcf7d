"""How Sphinx builds the site: `python -m sphinx -W --keep-going docs docs/_build/html`."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.nodes import get_node_source

import sknca

sys.path.insert(0, str(Path(__file__).parent))
from gallery_pictures import show_one_panel
from guide_pages import add_links_back, guide_pages
from parameter_groups import give_parameters_ids, parameter_groups

project = "sknca"
project_copyright = "2026, the sknca developers"
release = version = sknca.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"  # `code` in docstrings
smartquotes = False  # "cosine" is code, and apostrophes stay as they are
toc_object_entries_show_parents = "hide"
highlight_options = {"python": {"stripnl": True}}  # doctests in Markdown end with an empty line
nitpicky = True  # a name that leads nowhere is a warning, and a warning is an error
nitpick_ignore_regex = [("py:.*", r"torch\..*")]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# The pages of the API follow each module's __all__ (_templates/autosummary/module.rst).
autosummary_ignore_module_all = False
autosummary_context = {"guide_pages": guide_pages(), "parameter_groups": parameter_groups()}
autodoc_typehints = "none"  # numpydoc's sections say the types, and shapes too
numpydoc_show_class_members = False  # _templates/autosummary/class.rst lists them

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": "^(?!plot_)",  # other scripts print, and are no pages
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "auto_examples/names",
    "image_scrapers": ("gallery_pictures.take",),
    "parallel": 2,
    "capture_repr": ("_repr_html_",),  # what is worth reading, the examples print
    "doc_module": ("sknca",),
    "reference_url": {"sknca": None},
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "sknca"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "header_links_before_dropdown": 6,  # the reference is one of them
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
# No list of sections where a page has none beside it.
html_sidebars = {
    page: []
    for page in [
        "index", "install", "tour", "benchmarks", "defaults", "design", "glossary", "changelog",
        "contributing",
    ]
}  # fmt: skip
copybutton_exclude = ".linenos, .gp, .go"  # neither prompts nor what is printed


def write_math(translator, node):
    """MathML, which browsers set by themselves: no script, and nothing from the network."""
    is_block = isinstance(node, nodes.math_block)
    translator.body.append(tex2mathml(node.astext(), as_block=is_block))
    if not is_block:
        translator.body.append("&#8288;")  # a comma after it stays on its line
    raise nodes.SkipNode


def link_to_scikit_learn(app, env, node, text):
    """A name of scikit-learn leads to its page; what its own docstrings, which methods inherit,
    say of other pages of its site is plain text here.
    """
    name = node.get("reftarget", "")
    if name.startswith("sklearn."):
        page = f"https://scikit-learn.org/stable/modules/generated/{name}.html"
        return nodes.reference("", "", text, internal=False, refuri=page)
    return text if "docstring of sklearn." in (get_node_source(node) or "") else None


def setup(app):
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("missing-reference", link_to_scikit_learn)
    app.connect("source-read", add_links_back)
    app.connect("doctree-read", give_parameters_ids)
    app.connect("builder-inited", show_one_panel, priority=600)  # after the gallery is made
