"""Images that a request names instead of holding: fetched here, from allowed places only, and counted as if sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from fmnist_ray.catalogue.fetch import ImageFetcher
from fmnist_ray.config.serve import RequestLimits
from fmnist_ray.endpoint.problems import Busy, Problem
from fmnist_ray.errors import ImageRejected, StoreError

Image = bytes | ImageRejected
"""An encoded image, or why it can't be had."""
Hold = Callable[[int], None]
"""Counts bytes that stay in memory until a request is answered; raises `Problem` where they are too many."""
_LOG = logging.getLogger(__name__)
_THREADS = 16


class NamedImages:
    """Fetches images below `prefixes`, some at a time over all requests. Without prefixes it fetches none."""

    def __init__(self, prefixes: Sequence[str], limits: RequestLimits) -> None:
        self._fetcher = ImageFetcher(None, prefixes, max_bytes=limits.image.max_bytes)
        self._limits = limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch")

    async def fetched(self, cells: Sequence[bytes | str], hold: Hold) -> list[Image]:
        """The images, each text replaced by what it names. An image that is not there, not allowed or too large is
        rejected for itself; a store that does not answer, or denies, is a `Problem` of the whole request."""
        if not any(isinstance(cell, str) for cell in cells):
            return [cell for cell in cells if isinstance(cell, bytes)]
        tasks = [asyncio.create_task(self._fetched(cell, hold)) for cell in cells]
        try:
            async with asyncio.timeout(self._limits.answer_timeout_s):
                return await asyncio.gather(*tasks)
        except TimeoutError:
            raise Busy(f"The named images did not come within {self._limits.answer_timeout_s:g} seconds") from None
        except StoreError as error:
            _LOG.error("Named images can't be read: %s", error.message)
            detail = "The store of the named images can't be read; the endpoint's log says why."
            raise Problem(503, "store", detail, retry_after_s=5) from error
        finally:
            for task in tasks:
                task.cancel()  # where another image ended the request, so that nothing is held after its end

    async def _fetched(self, cell: bytes | str, hold: Hold) -> Image:
        if isinstance(cell, bytes):
            return cell
        image = await asyncio.get_running_loop().run_in_executor(self._threads, self._fetcher.image_of, cell)
        if isinstance(image, bytes):
            hold(len(image))
        return cast(Image, image)

    def close(self) -> None:
        """Let its threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
