"""Turns values into one self-contained HTML file: no script, no request, text from outside escaped by construction."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined

from fmnist_ray.reports import charts, formats


def render(template: str, **values: object) -> bytes:
    """The page of `templates/<template>` with `values`, as UTF-8."""
    return _environment().get_template(template).render(**values).encode()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fmnist_ray.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=formats.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = (
        formats.count,
        formats.percent,
        formats.score,
        formats.share,
        formats.points,
        formats.chance,
        formats.evidence,
        formats.tenths,
        formats.edge,
        formats.duration,
        formats.milliseconds,
        formats.size,
        formats.moment,
        formats.brief,
    )
    environment.filters.update({function.__name__: function for function in written})
    environment.globals.update(charts=charts, formats=formats)
    return environment
