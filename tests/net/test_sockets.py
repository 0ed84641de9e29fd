"""Outgoing connections: what stands in the way of one is a `NetworkError`."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from shoal.errors import NetworkError
from shoal.net.sockets import connect


def test_to_have_no_descriptor_left_is_a_network_error() -> None:
    async def dial() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            with pytest.raises(NetworkError, match="Too many open files"):
                await connect(("127.0.0.1", 9), None, within=1.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(dial())
