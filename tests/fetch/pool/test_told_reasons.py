"""What a helper that cannot help tells members of the reason."""

from __future__ import annotations

import pycurl
import pytest

from shoal.errors import DiskFullError, FileError, ShoalError
from shoal.fetch.pool.helping import _told
from shoal.fetch.refusals import error_of as error_of_status
from shoal.net.curl_errors import error_of

URL = "https://192.0.2.1:8443/file.bin"
DOWN = pycurl.error(pycurl.E_COULDNT_CONNECT, "Failed to connect to 192.0.2.1 port 8443 over proxy 10.1.2.3")


@pytest.mark.parametrize(
    "error",
    [
        error_of(URL, DOWN, proxy="http://proxy.lan:3128"),
        error_of(URL, pycurl.error(pycurl.E_COULDNT_RESOLVE_PROXY, ""), proxy="http://proxy.lan:3128"),
        error_of(URL, pycurl.error(pycurl.E_COULDNT_CONNECT, ""), bind="fd00::7"),
        error_of(URL, pycurl.error(pycurl.E_COULDNT_RESOLVE_HOST, ""), bind="10.1.2.3"),
        error_of(URL, pycurl.error(97, "proxy.lan closed the tunnel")),
    ],
    ids=lambda error: error.message,
)
def test_members_do_not_hear_which_way_a_helper_goes(error: ShoalError) -> None:
    assert _told(error, URL) == "it cannot reach 192.0.2.1:8443"


def test_members_do_not_hear_where_a_helper_has_its_files() -> None:
    assert _told(DiskFullError("/srv/cache: disk full"), URL) == "its disk is full"
    assert _told(FileError("/srv/cache: reading failed"), URL) == "its disk fails"


def test_members_hear_what_the_server_answers() -> None:
    error = error_of_status(503, {}, URL)
    assert _told(error, URL) == error.message
