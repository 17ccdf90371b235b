"""How Sphinx makes a site of these pages; `make docs` writes the site to `site/`.

The site fetches nothing: the theme takes the fonts of the reader's system, and the search is local.
"""

import importlib.metadata

project = "kdpipe"
author = "The kdpipe authors"
release = importlib.metadata.version("kdpipe")

# Pages are Markdown. The page of the library is made of docstrings, which are in Google's style.
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# `page.md#a-heading` is a link to a heading, as on GitHub.
myst_heading_anchors = 3
# Dashes behind names of parameters, and quotation marks as they are written.
smartquotes_action = "D"
# Names between single backticks are code in docstrings, too.
default_role = "code"
autodoc_typehints_format = "short"
maximum_signature_line_length = 90

html_theme = "furo"
html_title = f"kdpipe {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
