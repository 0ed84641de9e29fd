"""Put a pool together from its parts, the same way for a requester and a helper."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from shoal.disk.part_file import PartFile
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.signing import verify
from shoal.fetch.pool.audits import Audits
from shoal.fetch.pool.authors import Authors
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.pool import Pool
from shoal.protocol.group.messages import AskHelp, ValidatorKind

if TYPE_CHECKING:
    from shoal.fetch.plan import Plan
    from shoal.fetch.pool.meetings import Meetings

UNLESS_REPLACED = ", or the file was replaced on the server, which does not say which version it sends"


def make_pool(
    group: JoinedGroup,
    question: AskHelp,
    part: PartFile,
    plan: Plan,
    meetings: Meetings,
    *,
    is_helper: bool,
    wanted_bits: int,
    audit_share: float,
) -> Pool:
    """`audit_share` of what others bring is compared with the origin."""
    me, info_hash = group.member, question.info_hash
    board = Board(
        plan.piece_count, plan.piece_length, plan.length, me.public + meetings.engine.peer_id,
        have=plan.have_bits, is_helper=is_helper, now=time.monotonic(), salt=info_hash,
    )  # fmt: skip
    pool = Pool(
        info_hash,
        part,
        plan,
        board,
        Authors(info_hash, me.public, plan.piece_count, verify),
        Audits(plan.length, plan.piece_length, random.Random(), share=audit_share),
        me,
        wanted_bits=wanted_bits,
        is_helper=lambda program: meetings.is_helper(group.name, program),
        clock=time.monotonic,
    )
    if question.validator_kind is ValidatorKind.DIGEST:
        pool.unless = UNLESS_REPLACED
    return pool
