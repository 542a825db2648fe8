"""Dynamic batching: whatever waits when the network is free is answered together.

Nothing waits for a batch to fill, so a lone request is answered at once and batches grow by themselves under load.
Turns go round the requests, image by image, so a request of many images does not keep a small one from its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.naming import Image
from fmnist_ray.endpoint.problems import Busy

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Job(Generic[Answer]):
    """A request's images, how many of them were taken, and their answers so far."""

    images: Sequence[Image]
    done: asyncio.Future[list[Answer]]
    num_taken: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


class Batcher(Generic[Answer]):
    """Feeds `answer`, which maps images to as many answers, from one thread. Belongs to one event loop."""

    def __init__(
        self,
        answer: Callable[[list[Image]], Sequence[Answer]],
        limits: RequestLimits,
        *,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._answer = answer
        self._on_batch = on_batch
        self._limits = limits
        self._jobs: deque[_Job[Answer]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._runner: asyncio.Task[None] | None = None
        self._batch_started: float | None = None
        self.num_waiting = 0

    async def submit(self, images: Sequence[Image]) -> list[Answer]:
        """The answers to `images`, in order. Raises `Busy` when too many wait, or when it takes too long."""
        if not images:
            return []
        if self.num_waiting + len(images) > self._limits.max_waiting_images:
            raise Busy(f"{self.num_waiting} images wait already")
        job = _Job[Answer](images, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.num_waiting += len(images)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._limits.answer_timeout_s):
                return await job.done
        except TimeoutError:
            raise Busy(f"There was no answer within {self._limits.answer_timeout_s:g} seconds") from None
        finally:
            self.num_waiting -= len(images)

    @property
    def busy_s(self) -> float:
        """Seconds since the current batch was begun; 0 where there is none."""
        return 0.0 if self._batch_started is None else time.monotonic() - self._batch_started

    def close(self) -> None:
        """Let the thread end. Requests that wait get no answer."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        """Answer batch after batch until nothing waits."""
        try:
            while batch := self._take():
                self._on_batch(len(batch))
                self._batch_started = time.monotonic()
                await self._answer_batch(batch)
        finally:
            self._runner = self._batch_started = None

    def _take(self) -> list[tuple[_Job[Answer], int]]:
        """The next images by turns; a request whose client is gone gets none."""
        batch: list[tuple[_Job[Answer], int]] = []
        room = self._limits.batch_bytes
        while self._jobs and len(batch) < self._limits.batch_images:
            job = self._jobs.popleft()
            if job.done.done():
                continue
            image = job.images[job.num_taken]
            size = len(image) if isinstance(image, bytes) else 0
            if batch and size > room:
                self._jobs.appendleft(job)
                break
            room -= size
            batch.append((job, job.num_taken))
            job.num_taken += 1
            if job.num_taken < len(job.images):
                self._jobs.append(job)
        return batch

    async def _answer_batch(self, batch: list[tuple[_Job[Answer], int]]) -> None:
        """Answer a batch; where that fails, image by image, so that only the request at fault fails."""
        images = [job.images[position] for job, position in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, images)
        except Exception as error:  # noqa: BLE001 a bug or a lack of memory must cost one request, not all that wait
            if len(batch) > 1:
                for item in batch:
                    await self._answer_batch([item])
            else:
                with contextlib.suppress(asyncio.InvalidStateError):
                    batch[0][0].done.set_exception(error)
            return
        for (job, position), answer in zip(batch, answers, strict=True):
            job.answers[position] = answer
            if len(job.answers) == len(job.images) and not job.done.done():
                job.done.set_result([job.answers[number] for number in range(len(job.images))])
