"""Which proxy the environment sends a URL through, by the variables that curl and most others know.

Always true: this machine's own loopback is reached directly. `HTTP_PROXY` in capitals is not read, for a request's
`Proxy` header sets it where a program runs as CGI.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from shoal.net.address_classes import numeric_host

LOOPBACK = "localhost,127.0.0.0/8,::1"


def hosts_without_proxy() -> str:
    """What the environment excepts from its proxies, and loopback; as libcurl takes it."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return "*" if named.strip() == "*" else ",".join(filter(None, (named, LOOPBACK)))


def proxy_of_environment(url: str) -> str:
    """The proxy's URL, `""` for none. Raises `ValueError` for what is no URL."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    found = next((os.environ[name] for name in names if name != "HTTP_PROXY" and os.environ.get(name)), "")
    return "" if _is_excepted(host) else found


def _is_excepted(host: str) -> bool:
    number = numeric_host(host)
    for entry in re.split(r"[\s,]+", hosts_without_proxy()):
        if entry == "*":
            return True
        if number is None:
            name = entry.strip(".").lower()
            if name and (host == name or host.endswith(f".{name}")):
                return True
        elif _holds(entry, number):
            return True
    return False


def _holds(entry: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
