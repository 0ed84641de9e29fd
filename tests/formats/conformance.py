"""The conformance data, where it is: `SHOAL_CORPORA`, or beside the checkout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parent.parent.parent
CORPORA = Path(os.environ.get("SHOAL_CORPORA", _CHECKOUT.parent / "shared" / "corpora"))


def load(name: str) -> Any:
    """The JSON file's content; an empty dict where the data is absent."""
    path = CORPORA / name
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def raw(text: str) -> bytes:
    """A name as the data writes it: text, or `hex:...` for bytes that are none."""
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
