"""Public figures of chips, platforms and engines as they were collected, to hold the shipped catalog against.

A table of numbers per chip, and lists of names; no tests. Used by tests/manifests. A figure carries a letter: v a
vendor wrote it, m measured, d derived, s quoted second-hand, u unverified. `?`: the path exists, nobody knows the
figure. `-`: there is no such path. Memory in GiB per unit that Kubernetes counts, rates in GB/s and TFLOPS or TOPS,
power in W, links one way per chip.
"""

from __future__ import annotations

STATUS = {"v": "vendor", "m": "measured", "d": "derived", "s": "secondary", "u": "unverified"}

NUMBERS = """
chip                 memory  bandwidth  fp32    bf16     fp16     fp8    int8   fp4    int4  power  link    network
ascend-910b1         64v     1600u      ?       ?        414u     -      828u   -      ?     ?      196v    25v
ascend-910b2         64v     1600v      99.5d   353.9d   376d     -      752d   -      ?     350s   196v    25v
ascend-910b3         64v     1600v      83d     294.9d   313d     -      626d   -      ?     350s   196v    25v
ascend-910b4         32v     800v       75d     245.8d   280d     -      560d   -      ?     ?      196v    25v
ascend-910b4-1       64v     1600v      75d     245.8d   280d     -      560d   -      ?     ?      196v    25v
ascend-910c          64v     1600v      99.5v   353.9v   376v     -      752v   -      ?     ?      196v    25v
ascend-310p          24v     204.8u     ?       -        70u      -      140u   -      ?     150u   ?       ?
ascend-950pr         112v    1400v      189v    378v     378v     756v   756v   1512v  ?     ?      159v    ?
ascend-950dt         96v     ?          ?       ?        ?        ?      ?      ?      ?     ?      ?       ?
ascend-310b          24m     44m        ?       -        ?        -      20u    -      ?     ?      -       ?
cambricon-mlu370-x8  48s     614.4s     24u     96s      96s      -      256s   -      ?     250s   100u    ?
cambricon-mlu590-m9  96m     2000u      80u     ?        314u     -      ?      -      ?     ?      186u    ?
kunlun-p800          96d     2000u      ?       ?        345u     -      ?      -      ?     ?      200u    ?
kunlun-r200          32u     512u       ?       -        128u     -      256u   -      ?     ?      ?       ?
hygon-k100-ai        64v     896u       ?       ?        192u     -      ?      -      ?     400m   92u     ?
hygon-bw1000         64v     ?          ?       ?        ?        -      ?      -      ?     ?      ?       ?
hygon-bw1100         144v    ?          ?       ?        ?        ?      ?      -      ?     ?      ?       ?
mthreads-s4000       48s     768s       ?       100s     100s     -      200s   -      ?     450s   120s    ?
mthreads-s5000       80m     1600d      ?       ?        ?        ?      ?      -      ?     ?      ?       ?
metax-c500           64m     1800u      ?       240u     240u     -      ?      -      ?     350m   ?       ?
metax-c550           64v     1800v      ?       240u     240u     -      ?      -      ?     450v   448u    ?
iluvatar-bi-v150     64v     590m       38.72m  196.77m  196.47m  -      ?      -      ?     350v   92.48m  ?
iluvatar-mr-v100     32m     ?          ?       ?        ?        -      ?      -      ?     ?      ?       ?
enflame-s60          48m     ?          ?       ?        ?        -      ?      -      ?     ?      ?       ?
biren-br166m         ?       ?          ?       ?        ?        -      ?      -      ?     550s   ?       ?
thead-ppu-zw810e     96m     ?          ?       ?        ?        -      ?      -      ?     400m   350u    ?
nvidia-h100-sxm      80v     3350v      ?       989v     989v     1979v  1979v  -      ?     700v   450v    50v
nvidia-h100-pcie     80v     2000v      ?       756.5v   756.5v   1513v  1513v  -      ?     350v   ?       50v
nvidia-h200-sxm      141v    4800v      ?       989v     989v     1978v  1978v  -      ?     700v   450v    50v
nvidia-a100-sxm-80   80v     2039v      ?       312v     312v     -      624v   -      ?     400v   300v    25v
nvidia-a100-pcie-80  80v     1935v      ?       312v     312v     -      624v   -      ?     300v   ?       25v
nvidia-l40s          48v     864v       ?       362.05v  362.05v  733v   733v   -      ?     350v   32v     25v
nvidia-b200          180v    7700v      ?       2250v    2250v    4500v  4500v  9000v  ?     1000v  900v    50v
nvidia-h800          80u     3350u      ?       989u     989u     1979u  1979u  -      ?     700u   200u    ?
nvidia-h20           96s     4000u      ?       148s     148s     ?      ?      -      ?     400s   450u    ?
nvidia-l20           48s     ?          ?       119.5s   119.5s   ?      ?      -      ?     ?      ?       ?
nvidia-rtx4090       24s     1008s      ?       165.2s   165.2s   ?      ?      -      ?     450s   ?       ?
jetson-orin-nano-8g  8s      102s       ?       -        ?        -      ?      -      -     25s    -       ?
jetson-orin-nx-16g   16v     102.4u     ?       -        ?        -      ?      -      -     25v    -       ?
jetson-agx-orin-64g  64s     204.8v     ?       -        ?        -      ?      -      -     60s    -       ?
rockchip-rk3588      16u     ?          -       -        ?        -      6u     -      -     ?      -       ?
rockchip-rk182x      5u      1000u      -       -        ?        -      20u    -      -     ?      -       ?
sophgo-bm1684x       16s     ?          2u      16u      16u      -      32u    -      -     ?      -       ?
horizon-rdk-s100     12u     ?          -       -        -        -      80u    -      -     ?      -       ?
apple-m4-family      16u     120s       ?       ?        ?        -      ?      -      -     ?      -       ?
cpu-xeon-amx         ?       ?          ?       21m      -        -      35m    -      -     ?      -       ?
cpu-kunpeng-920      ?       155m       ?       -        ?        -      ?      -      -     ?      -       ?
cpu-phytium          ?       ?          ?       -        ?        -      ?      -      -     ?      -       ?
cpu-loongson         ?       ?          ?       -        ?        -      ?      -      -     ?      -       ?
"""

# Read from the collected text rather than from its numbers. RK3588: what decoding reaches, 24 to 30 GB/s, in place of a
# peak. BM1684X: chips form a pipeline over PCIe, at a rate nobody gives.
DERIVED = {("rockchip-rk3588", "bandwidth"): "27d", ("sophgo-bm1684x", "link"): "?"}

# What programs can have of the memory, where it is known: MiB and status.
ALLOCATABLE = {
    "ascend-910b1": (60.32 * 1024, "m"),
    "ascend-910b2": (60.32 * 1024, "m"),
    "ascend-910b3": (60.32 * 1024, "m"),
    "ascend-910b4-1": (60.32 * 1024, "m"),
    "ascend-310p": (21527, "v"),
    "ascend-310b": (16.7 * 1024, "d"),
    "hygon-k100-ai": (65520, "m"),
    "iluvatar-bi-v150": (63.66 * 1024, "m"),
    "enflame-s60": (49120, "m"),
    "nvidia-h100-sxm": (81559, "m"),
    "nvidia-h200-sxm": (143771, "m"),
    "nvidia-l40s": (46068, "v"),
    "sophgo-bm1684x": (14e9 / 2**20, "s"),
}

# Names under which several sizes are sold, in MiB.
SIZES = {
    "ascend-910b4": (32 * 1024, 64 * 1024),
    "ascend-310p": (24 * 1024, 44280),
    "ascend-950pr": (84 * 1024, 112 * 1024),
    "ascend-310b": (8 * 1024, 16 * 1024, 24 * 1024),
    "cambricon-mlu590-m9": (80 * 1024, 96 * 1024),
    "nvidia-h20": (96 * 1024, 141 * 1024),
    "nvidia-rtx4090": (24 * 1024, 49140),
    "jetson-agx-orin-64g": (32 * 1024, 64 * 1024),
    "rockchip-rk3588": (4 * 1024, 8 * 1024, 16 * 1024, 32 * 1024),
    "horizon-rdk-s100": (12 * 1024, 16 * 1024),
    "apple-m4-family": tuple(1024 * gib for gib in (16, 24, 32, 36, 48, 64, 128)),
}

# Platform, the resource a pod asks for by default, and what one of it is.
PLATFORMS = {
    "ascend-a2": ("huawei.com/Ascend910", "chip"),
    "ascend-a3": ("huawei.com/Ascend910", "die"),
    "ascend-310p": ("huawei.com/Ascend310P", "chip"),
    "ascend-950": ("huawei.com/npu", "chip"),
    "ascend-310b": ("huawei.com/Ascend310", "device"),
    "nvidia": ("nvidia.com/gpu", "chip"),
    "cambricon": ("cambricon.com/mlu", "board"),
    "kunlunxin": ("kunlunxin.com/xpu", "board"),
    "hygon": ("hygon.com/dcu", "board"),
    "mthreads": ("mthreads.com/gpu", "board"),
    "metax": ("metax-tech.com/gpu", "board"),
    "iluvatar": ("iluvatar.com/gpu", "board"),
    "enflame": ("enflame.com/gcu", "board"),
    "biren": ("birentech.com/gpu", "board"),
    "thead": ("alibabacloud.com/ppu", "board"),
    "jetson": ("nvidia.com/gpu", "device"),
    "rockchip": (None, "device"),
    "sophgo": (None, "chip"),
    "cpu": (None, "device"),
    "none": (None, "device"),
}

# Engines that somebody else makes; our own is `edge`.
ENGINES = (
    "custom-acl", "fastdeploy-dcu", "fastdeploy-gcu", "fastdeploy-iluvatar", "fastdeploy-metax", "fastdeploy-none",
    "fastdeploy-xpu", "hobot-llm", "ktransformers", "ktransformers-arm", "llama-cpp", "llama-cpp-cann",
    "llama-cpp-musa", "llm-tpu", "lmdeploy", "lmdeploy-ascend", "lmdeploy-camb", "lmdeploy-iluvatar",
    "lmdeploy-maca", "magicmind", "mindie", "mindspore-lite-acl", "mlc-llm", "mlx", "onnxruntime",
    "onnxruntime-cpu", "openvino", "paddle-xpu-old", "rkllm", "rknn3", "sglang", "sglang-ascend", "sglang-hygon",
    "sglang-jetson", "sglang-metax", "sglang-musa", "sglang-thead", "tensorrt-llm", "tensorrt-llm-jetson", "vllm",
    "vllm-ascend-310p", "vllm-ascend-950", "vllm-ascend-a2", "vllm-ascend-a3", "vllm-cpu", "vllm-gcu", "vllm-hygon",
    "vllm-iluvatar", "vllm-jetson", "vllm-kunlun", "vllm-metal", "vllm-metax", "vllm-mlu", "vllm-musa",
    "vllm-musa-old", "vllm-thead",
)  # fmt: skip

# Chips for which no document that was read has fp8.
NO_FP8 = (
    "ascend-910b1", "ascend-910b2", "ascend-910b3", "ascend-910b4", "ascend-910b4-1", "ascend-910c", "ascend-310p",
    "kunlun-p800", "hygon-k100-ai", "hygon-bw1000", "enflame-s60", "cambricon-mlu370-x8", "metax-c500",
)  # fmt: skip


def figures() -> dict[str, dict[str, str]]:
    """The table of numbers: chip, then column, then the figure with its letter."""
    head, *rows = (line.split() for line in NUMBERS.strip().splitlines())
    table = {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}
    for (chip, column), figure in DERIVED.items():
        table[chip][column] = figure
    return table
