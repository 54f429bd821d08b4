"""Scores where they are asked for: the graph gets an input `positions`, the places of the tokens to score.

The head is the largest matrix of a small model. Reading a prompt needs it once, at the last token; checking a guess
needs it at a few; evaluation needs it everywhere. Called by `runtimes.build.fuse`.
"""

from __future__ import annotations

from onnx import GraphProto, TensorProto, helper

POSITIONS = "positions"
PRUNE_NODES = ("/lm_head/prune/Gather", "/lm_head/prune/Unsqueeze")  # of the model builder: the last position alone


def score_where_asked(graph: GraphProto) -> None:
    """Lets `positions` (int64, shape [scored]) choose among the tokens of a step; the same for all its sequences."""
    gather, unsqueeze = (next(node for node in graph.node if node.name == name) for name in PRUNE_NODES)
    gather.CopyFrom(
        helper.make_node(
            "Gather", [gather.input[0], POSITIONS], list(unsqueeze.output), name="/lm_head/positions/Gather", axis=1
        )
    )
    graph.node.remove(unsqueeze)
    graph.input.append(helper.make_tensor_value_info(POSITIONS, TensorProto.INT64, ["scored"]))
    logits = next(output for output in graph.output if output.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "scored"
    del graph.value_info[:]
