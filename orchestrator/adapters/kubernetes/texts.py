"""Objects as YAML text: what occurs again is written again, and text of several lines is lines. Made to be compared.

Pure. Used by `bundle` beside this file, and by tests. The same objects give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

WIDTH = 120
_BASE = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # writes the same in a tenth of the time


class _Plain(_BASE):  # type: ignore[misc, valid-type]
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: Any, written: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", written, style="|" if "\n" in written else None)


_Plain.add_representer(str, _text)


def to_yaml(objects: Iterable[dict[str, Any]]) -> str:
    """The objects as one YAML stream, fields in the order they were rendered."""
    written: str = yaml.dump_all(
        objects, Dumper=_Plain, sort_keys=False, explicit_start=True, width=WIDTH, allow_unicode=True
    )
    return written
