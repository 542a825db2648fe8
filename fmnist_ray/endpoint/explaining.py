"""Explanations, in a process of their own: what it is asked, what it answers, and which bundle it has loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fmnist_ray.bundle.explainer import Explainer
from fmnist_ray.bundle.format import read_bundle
from fmnist_ray.config.explain import Method
from fmnist_ray.config.images import ImageLimits
from fmnist_ray.errors import FmnistRayError, ImageRejected, SettingError
from fmnist_ray.labels import label_index


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An image, and what is asked of it."""

    image: bytes
    method: Method
    label: str | None
    """The label whose evidence is shown, by name or id. None: the one that the bundle answers."""
    bundle_uri: str
    """Where the bundle is that the endpoint answers with."""
    bundle_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the bundle looked."""

    png: bytes
    label_id: int
    bundle_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """Why there is no explanation, as a problem document has it."""

    status: int
    kind: str
    detail: str


def unusable(image: ImageRejected) -> Unexplained:
    """What is said of an image that is none, or can't be had."""
    return Unexplained(status=422, kind=f"image:{image.reason}", detail=f"The image can't be used: {image}.")


Explain = Callable[[Question], Awaitable[Explanation | Unexplained]]
"""Asks whoever explains, wherever that runs. May raise `Busy`."""


class Explanations:
    """Answers questions, one at a time. Keeps the bundle of the last one, and loads another when one asks for it."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._loaded: tuple[str, str] | None = None
        self._explainer: Explainer | None = None

    def answer(self, question: Question) -> Explanation | Unexplained:
        """The explanation, or what is wrong with the question; nothing in it raises."""
        try:
            explainer = self._explainer_for(question)
            label_id = None
            if question.label is not None:
                label_id = label_index(explainer.classifier.labels).get(question.label)
                if label_id is None:
                    return Unexplained(status=422, kind="parameter", detail="label: it is none of the bundle's labels.")
            png, label_id = explainer.overlay(question.image, question.method, label_id)
        except ImageRejected as error:
            return unusable(error)
        except SettingError as error:
            return Unexplained(status=422, kind="parameter", detail=error.message)
        except FmnistRayError as error:
            return Unexplained(status=503, kind="bundle", detail=error.message)
        return Explanation(png=png, label_id=label_id, bundle_digest=explainer.classifier.digest)

    def _explainer_for(self, question: Question) -> Explainer:
        wanted = question.bundle_uri, question.bundle_digest
        if self._explainer is None or wanted != self._loaded:
            self._explainer, self._loaded = Explainer(read_bundle(question.bundle_uri), limits=self._limits), wanted
        return self._explainer
