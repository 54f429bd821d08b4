"""How long 300 services take to render: `python benchmarks/render.py [SERVICES]`.

Each service has a teacher on one or two nodes of Ascend 910B3. Planning is not part of the figure; YAML text is.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.adapters.kubernetes.texts import to_yaml
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration, Parallelism, PoolId

API = {"apiVersion": "headwater.dev/v1alpha1"}
TWO_NODES = Configuration(
    model="deepseek-v3.2-exp",
    quantization="w8a8",
    engine="vllm-ascend-a2",
    profile="ascend-910b3",
    pool=PoolId("cloud", 0),
    parallelism=Parallelism(tensor=8, data=2, expert=True),
    nodes=2,
    context_tokens=8192,
    sequences=32,
)
ONE_NODE = replace(TWO_NODES, parallelism=Parallelism(tensor=8, expert=True), nodes=1, sequences=16)


def a_site() -> Site:
    spec = {"role": "cloud", "region": "cn", "fleet": "kubernetes", "pools": [{"profile": "ascend-910b3", "chips": 8}]}
    has = {"has": ["volcano", "lws", "prometheus"], "weights": {"mirror": "https://mirror.example/models"}}
    return Site.model_validate(
        API | {"kind": "Site", "metadata": {"name": "cloud"}, "spec": spec | {"kubernetes": has}}
    )


def services(count: int) -> list[ModelService]:
    spec = {"teacher": {"model": "deepseek-v3.2-exp"}, "demand": {"rate": "1/s", "input": 800, "output": 250}}
    return [
        ModelService.model_validate(API | {"kind": "ModelService", "metadata": {"name": f"service-{n}"}, "spec": spec})
        for n in range(count)
    ]


def texts(written: list[ModelService], site: Site) -> dict[str, str]:
    """Every service's file, by the service's name."""
    catalog = read_catalog()
    return {
        one.metadata.name: to_yaml(
            render(Setting(one, "teacher", catalog, site), TWO_NODES if number % 2 else ONE_NODE, replicas=2)
        )
        for number, one in enumerate(written)
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    written, site = services(count), a_site()
    read_catalog()  # kept on disk by the first command; what follows is rendering alone
    start = time.perf_counter()
    rendered = texts(written, site)
    took_s = time.perf_counter() - start
    total = sum(map(len, rendered.values()))
    print(f"{count} services, {total / 1e6:.1f} MB of YAML: {took_s:.2f} s")


if __name__ == "__main__":
    main()
