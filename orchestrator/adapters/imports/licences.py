"""The licence that a model's files state: a tag in the front matter of its README, or in a GGUF header, as SPDX.

A tag is somebody's word, so its status is `secondary`; the text of the licence is not read. Called by
`orchestrator.adapters.imports.card`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST_README_BYTES = 1 << 20
LONGEST_FRONT_MATTER = 1 << 16

# Tags of hubs to SPDX; texts that SPDX does not list have names of our own.
TAGS: Mapping[str, str] = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "isc": "ISC",
    "cc0-1.0": "CC0-1.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0",
    "gpl-3.0": "GPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only",
    "agpl-3.0": "AGPL-3.0-only",
    "mpl-2.0": "MPL-2.0",
    "unlicense": "Unlicense",
    "openrail": "LicenseRef-OpenRAIL",
    "openrail++": "LicenseRef-OpenRAIL-PlusPlus-M",
    "bigscience-openrail-m": "LicenseRef-BigScience-OpenRAIL-M",
    "bigcode-openrail-m": "LicenseRef-BigCode-OpenRAIL-M",
    "creativeml-openrail-m": "LicenseRef-CreativeML-OpenRAIL-M",
    "llama2": "LicenseRef-Llama-2-Community",
    "llama3": "LicenseRef-Llama-3-Community",
    "llama3.1": "LicenseRef-Llama-3.1-Community",
    "llama3.2": "LicenseRef-Llama-3.2-Community",
    "llama3.3": "LicenseRef-Llama-3.3-Community",
    "llama4": "LicenseRef-Llama-4-Community",
    "gemma": "LicenseRef-Gemma",
    "deepseek": "LicenseRef-DeepSeek-Model-1.0",
    "tongyi-qianwen": "LicenseRef-Tongyi-Qianwen",
    "tongyi-qianwen-research": "LicenseRef-Tongyi-Qianwen-Research",
    "qwen": "LicenseRef-Qwen",
    "qwen-research": "LicenseRef-Qwen-Research",
    "tencent-hunyuan-community": "LicenseRef-Tencent-Hunyuan-Community",
}
UNSAID = ("other", "unknown", "")
LONGEST_NAME = 80

_FIELD = re.compile(r"^(license|license_name):[ \t]*(?:\n[ \t]*-[ \t]*)?[\"']?([^\"'\n#]*)", re.MULTILINE)


def licence_of(tag: str, name: str = "") -> dict[str, Any]:
    """The `licence` of a card from a hub's tag.

    Args:
        tag: such as `apache-2.0`; `other` where the licence has a name of its own.
        name: that name.
    """
    word = tag.strip().lower()
    if word in UNSAID:
        word = name.strip().lower()
    if word in UNSAID:
        return {"spdx": "NOASSERTION", "status": "unverified", "note": "its files state no licence"}
    spdx = TAGS.get(word)
    if spdx is None:
        own = re.sub(r"[^A-Za-z0-9.]+", "-", name or tag)[:LONGEST_NAME].strip("-.")
        spdx = f"LicenseRef-{own}" if own else "NOASSERTION"
    return {"spdx": spdx, "status": "secondary", "note": "as its files say; the text was not read"}


def licence_in(readme: str) -> dict[str, Any]:
    """The `licence` of a card from the front matter of a README."""
    found: dict[str, str] = {}
    start = readme.lstrip("\ufeff\r\n ").replace("\r\n", "\n")[:LONGEST_FRONT_MATTER]
    if start.startswith("---\n"):
        front, closing, _ = start[len("---\n") :].partition("\n---")
        if closing:
            for field, value in _FIELD.findall(front):
                found.setdefault(field, value.strip())
    return licence_of(found.get("license", ""), found.get("license_name", ""))
