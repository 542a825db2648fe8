"""Two seeds of the chaos on S3. Thirty, by hand: `python tests/support/s3_chaos.py --seeds 30 --out FILE.json`."""

from __future__ import annotations

import pytest
import s3_chaos


@pytest.mark.timeout(400)
def test_every_row_is_there_once_whatever_fails() -> None:
    with s3_chaos.arena() as (server, root, expected):
        results = s3_chaos.run_seeds([1001, 1002], server, root, expected)
    assert len(expected) == s3_chaos.NUM_ROWS
    for result in results:
        assert result.exact, result
        assert sum(result.faults.values()) >= 20, result
        assert result.worker_kills + result.worker_pauses + result.driver_kills >= 1, result
        assert result.attempts >= result.shards == s3_chaos.NUM_ROWS // s3_chaos.SHARD_ROWS
        assert result.looks >= 10, result
