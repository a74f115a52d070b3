"""How Sphinx reads the pages that `assemble.py` has put together: `scripts/site` builds them."""

import procession

project = "procession"
author = "The procession authors"
release = version = procession.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["fieldlist"]
# Links such as `pools.md#time-limits`, as they are written for readers of the repository.
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"procession {version}"
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
autodoc_default_options = {"members": True, "inherited-members": "object", "member-order": "bysource"}
autodoc_typehints = "signature"
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
default_role = "py:obj"
add_module_names = False
# A page of the API shows each name where programs take it from, so one that two modules have is shown once.
suppress_warnings = ["myst.strikethrough"]
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
