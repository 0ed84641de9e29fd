"""TEMP"""

from __future__ import annotations
from shoal.fetch.options import AskedUrl, FetchOptions


def reason_not_to_pool(asked: AskedUrl, options: FetchOptions) -> str | None:
    return None
