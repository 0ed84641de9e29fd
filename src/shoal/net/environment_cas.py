"""Whom the environment trusts in place of the system's CAs, by the variables that curl and OpenSSL know."""

from __future__ import annotations

import os

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

_VARIABLES = (
    ("CURL_CA_BUNDLE", pycurl.CAINFO),
    ("SSL_CERT_FILE", pycurl.CAINFO),
    ("SSL_CERT_DIR", pycurl.CAPATH),
)


def cas_of_environment() -> dict[int, str]:
    """As options of libcurl; of two variables that say the same the first counts."""
    options: dict[int, str] = {}
    for name, option in _VARIABLES:
        if os.environ.get(name):
            options.setdefault(option, os.environ[name])
    return options
