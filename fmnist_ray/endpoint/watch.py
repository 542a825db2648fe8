"""Watching the place of a bundle: another one that appears there takes over, once it has proven itself."""

from __future__ import annotations

from collections.abc import Callable

from fmnist_ray.bundle.format import bundle_digest
from fmnist_ray.errors import FmnistRayError


class Watch:
    """Looks at `name`, where the bundle with `digest` was. `prove` opens what is there now and returns its digest, or
    raises; `choose` is told to let it answer."""

    def __init__(self, name: str, digest: str, *, prove: Callable[[], str], choose: Callable[[], None]) -> None:
        self._name = name
        self._digest = digest
        self._prove = prove
        self._choose = choose
        self._said: str | None = None

    def look(self) -> str | None:
        """What is new, as a sentence; None where nothing is. What is refused is looked at again, since it may be on its
        way still, but said once."""
        try:
            if bundle_digest(self._name) == self._digest:
                self._said = None
                return None
            digest = self._prove()
        except FmnistRayError as error:
            said, self._said = self._said, error.message
            return None if said == error.message else f"The bundle at {self._name} stays out: {error.message}"
        self._choose()
        self._digest, self._said = digest, None
        return f"Bundle {digest[:12]} at {self._name} takes over."
