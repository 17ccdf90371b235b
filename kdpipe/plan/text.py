"""What a config, or a user, says of how the text of files is written, and whether text can be so."""

import codecs
from collections.abc import Iterator, Mapping
from typing import Any

from kdpipe.errors import quoted

# What ends lines or quotes in the files themselves.
UNFIT = '\r\n"\0'


def text_faults(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is said of how text is written that no text can have, each with its setting."""
    encoding, delimiter = options.get("encoding"), options.get("delimiter")
    if encoding is not None and not _decodes(encoding):
        usual = "usual are utf-8, utf-16, latin-1, cp1252"
        yield "encoding", f"Python knows no encoding of text {quoted(encoding)}; {usual}"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in UNFIT):
        what = 'expected one character between cells, such as ";", or "\\t" for a tab'
        yield "delimiter", f"{what}; found {quoted(delimiter)}"


def _decodes(encoding: str) -> bool:
    """Tell whether Python decodes text of an encoding, piece by piece."""
    try:
        return isinstance(codecs.getincrementaldecoder(encoding)().decode(b""), str)
    except (LookupError, ValueError, TypeError):
        return False
