"""The process that explains: a deployment of its own, which starts with the first question and ends when none comes.

So the replicas that classify need no torch.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fmnist_ray.config.images import ImageLimits
from fmnist_ray.endpoint.explaining import Explain, Explanation, Explanations, Question, Unexplained
from fmnist_ray.endpoint.problems import Busy

_IDLE_S = 600
"""Seconds without a question after which the process ends."""


class ExplainReplica:
    """The process. `bind_explainer` makes a deployment of it."""

    def __init__(self, limits: ImageLimits) -> None:
        self._explanations = Explanations(limits)
        self._thread = ThreadPoolExecutor(1)  # one at a time, beside the event loop that says it is alive

    async def explain(self, question: Question) -> Explanation | Unexplained:
        """See `Explanations.answer`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._explanations.answer, question)


def bind_explainer(limits: ImageLimits) -> Any:
    """The deployment. It asks for no CPU, so that it finds a place beside replicas that took them all."""
    from ray import serve

    deployment: Any = serve.deployment(
        name="explainer",
        autoscaling_config={
            "min_replicas": 0,
            "initial_replicas": 0,
            "max_replicas": 1,
            "upscale_delay_s": 0,
            "downscale_delay_s": _IDLE_S,
        },
        max_ongoing_requests=16,
        graceful_shutdown_timeout_s=1,
        graceful_shutdown_wait_loop_s=0.2,
        ray_actor_options={"num_cpus": 0},
    )(ExplainReplica)
    return deployment.bind(limits)


def ask_through(handle: Any) -> Explain:
    """Questions to the deployment behind a Serve handle."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    async def explain(question: Question) -> Explanation | Unexplained:
        try:
            answer: Explanation | Unexplained = await handle.explain.remote(question)
        except (RayError, RayServeException) as error:
            raise Busy("The process that explains ended") from error
        return answer

    return explain
