"""Short digests of contents, such as settings and code."""

import hashlib
import json
from typing import Any


def digest(content: Any) -> str:
    """Return a short digest of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
