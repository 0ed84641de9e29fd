"""All fuzz targets by name: those of the formats, of downloads, of groups, of trackers and of the peer wire."""

from __future__ import annotations

from . import targets, targets_group, targets_http, targets_keys, targets_tracker, targets_udp, targets_wire

TARGETS = {
    **targets.TARGETS,
    **targets_group.TARGETS,
    **targets_http.TARGETS,
    **targets_keys.TARGETS,
    **targets_tracker.TARGETS,
    **targets_udp.TARGETS,
    **targets_wire.TARGETS,
}
