"""A second saved when a process of ours starts: something that libraries load and no run here uses."""

import sys


def without_uri_grammar() -> None:
    """Keep jsonschema from building a grammar of URIs, 1 s, when nbformat loads it: no notebook holds one to check.

    It goes on as where that grammar is not installed. For processes that exist for a run: the command and papermill's
    child. Who imports `redraw` into a process of their own has jsonschema whole.
    """
    sys.modules.setdefault("rfc3987_syntax", None)
