"""Who is answered together, and in which turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.batcher import Batcher
from fmnist_ray.endpoint.problems import Busy


class Network:
    """Answers an image with its bytes in capitals, when it is let; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.free = threading.Event()

    def __call__(self, images: list[bytes]) -> Sequence[bytes]:
        self.batches.append(images)
        self.free.wait(10)
        if b"poison" in images:
            raise MemoryError
        return [image.upper() for image in images]


def limits(**changes: float) -> RequestLimits:
    return RequestLimits(**{"max_images": 8, "max_waiting_images": 8, "batch_images": 4, **changes})  # type: ignore[arg-type]


async def submit_all(batcher: Batcher[bytes], network: Network, requests: list[list[bytes]]) -> list[object]:
    """The answers to `requests`, which all wait before the network is free."""
    tasks = [asyncio.create_task(batcher.submit(images)) for images in requests]
    await asyncio.sleep(0.05)
    network.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_requests_share_batches_by_turns() -> None:
    network = Network()
    batcher = Batcher(network, limits())
    answers = asyncio.run(submit_all(batcher, network, [[b"a"], [b"b1", b"b2", b"b3", b"b4", b"b5"], [b"c"]]))
    assert answers == [[b"A"], [b"B1", b"B2", b"B3", b"B4", b"B5"], [b"C"]]
    assert network.batches == [[b"a", b"b1", b"c", b"b2"], [b"b3", b"b4", b"b5"]], "c waits for one image, not for five"
    assert batcher.num_waiting == 0


def test_batches_are_bounded_by_bytes() -> None:
    network = Network()
    batcher = Batcher(network, limits(batch_bytes=10))
    answers = asyncio.run(submit_all(batcher, network, [[b"x" * 6], [b"y" * 6], [b"z" * 50], [b"w"]]))
    assert answers == [[b"X" * 6], [b"Y" * 6], [b"Z" * 50], [b"W"]]
    assert [len(b"".join(batch)) for batch in network.batches] == [6, 6, 50, 1]


def test_one_bad_image_fails_its_own_request_only() -> None:
    network = Network()
    batcher = Batcher(network, limits())
    first, second, third = asyncio.run(submit_all(batcher, network, [[b"a"], [b"poison"], [b"b"]]))
    assert (first, third) == ([b"A"], [b"B"])
    assert isinstance(second, MemoryError)


def test_what_can_not_wait_is_busy() -> None:
    network = Network()
    batcher = Batcher(network, limits())
    answers = asyncio.run(submit_all(batcher, network, [[b"a"] * 5, [b"b"] * 4, [b"c"] * 3]))
    assert answers[0] == [b"A"] * 5
    assert isinstance(answers[1], Busy)
    assert answers[2] == [b"C"] * 3


def test_an_answer_that_comes_too_late_is_busy_and_its_images_are_left_out() -> None:
    network = Network()
    batcher = Batcher(network, limits(answer_timeout_s=0.1))

    async def scenario() -> None:
        first = asyncio.create_task(batcher.submit([b"a"]))
        second = asyncio.create_task(batcher.submit([b"b"]))
        with pytest.raises(Busy, match=r"0\.1 seconds"):
            await first
        with pytest.raises(Busy):
            await second
        network.free.set()
        assert await batcher.submit([b"c"]) == [b"C"]

    asyncio.run(scenario())
    assert batcher.num_waiting == 0
    assert network.batches[-1] == [b"c"]


def test_a_client_that_leaves_costs_nothing_more() -> None:
    network = Network()
    batcher = Batcher(network, limits())

    async def scenario() -> None:
        busy = asyncio.create_task(batcher.submit([b"a"]))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(batcher.submit([b"gone"] * 3))
        stays = asyncio.create_task(batcher.submit([b"b"]))
        await asyncio.sleep(0.05)
        gone.cancel()
        network.free.set()
        assert await busy == [b"A"]
        assert await stays == [b"B"]

    asyncio.run(scenario())
    assert network.batches == [[b"a"], [b"b"]]
    assert batcher.num_waiting == 0
