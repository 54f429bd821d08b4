"""How vLLM-Ascend is launched: vLLM's way with HCCL's variables and the decode graphs of the NPU.

Pure. The model is the published launch of DeepSeek-V3.2 on two Atlas 800 A2 nodes (vLLM-Ascend, "DeepSeek-V3.2",
multi-node deployment) and, for pipeline stages, the "Pipeline Parallel" guide beside it. Constant variables such as
`HCCL_OP_EXPANSION_MODE` are data: they stand in the catalog's engine entry.
"""

from __future__ import annotations

import json

from runtimes.recipes import vllm
from runtimes.recipes.launch import Job, Launch

SOCKETS = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "HCCL_SOCKET_IFNAME")
ADDRESSES = ("HCCL_IF_IP",)  # HCCL meets its peers at the pod's address; the NPUs' own links come from hccn.conf
GRAPHS = json.dumps({"cudagraph_mode": "FULL_DECODE_ONLY"})  # whole-graph decode; prefill stays eager on this chip


def launch(job: Job) -> Launch:
    """Launch on Ascend NPUs.

    Raises:
        Invalid: the cut does not use exactly the chips there are.
        Refused: vLLM cannot run the cut over these nodes.
    """
    flags: tuple[str, ...] = ("--compilation-config", GRAPHS)
    if job.expert:
        flags += ("--no-enable-prefix-caching",)  # off in the published launch of this cut
    return vllm.compose(job, sockets=SOCKETS, addresses=ADDRESSES, flags=flags)
