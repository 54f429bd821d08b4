"""A catalog of chips whose names and memory are easily mixed up. Called by the tests of recognition and detection."""

from __future__ import annotations

from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog


def a_chip(name: str, memory: str | None, *names: str, sizes: tuple[str, ...] = (), **more: object) -> HardwareProfile:
    unit = {"status": "unverified"}
    spec = {"vendor": "X", "family": "F", "kind": "npu", "names": names, "memorySizes": sizes, "bandwidth": unit}
    return HardwareProfile.model_validate(
        {
            "apiVersion": "headwater.dev/v1alpha1",
            "kind": "HardwareProfile",
            "metadata": {"name": name},
            "spec": spec | {"memory": unit | ({"value": memory} if memory else {})} | more,
        }
    )


def confusable_chips() -> Catalog:
    chips = [
        a_chip("ascend-910b2", "64GiB", "910B2", pci={"vendors": ["0x19e5"]}),
        a_chip("ascend-910b4", "32GiB", "910B4", sizes=("32GiB", "64GiB")),
        a_chip("ascend-910b4-1", "64GiB", "910B4-1"),
        a_chip("ascend-910c", "64GiB", "Ascend910C"),
        a_chip(
            "ascend-310p",
            "24GiB",
            "310P3",
            sizes=("24GiB", "44280MiB"),
            allocatable={"value": "21527MiB", "status": "vendor"},
        ),
        a_chip("ascend-310b", "24GiB", "310B1", "310B4"),
        a_chip("cambricon-mlu590-m9", "96GiB", "MLU590-M9", "MLU590-M9D", sizes=("80GiB", "96GiB")),
        a_chip("kunlun-p800", "96GiB", "P800", pci={"vendors": ["0x1d22"], "devices": ["3686", "3687"]}),
        a_chip("kunlun-r200", "32GiB", "R200", pci={"vendors": ["0x1d22"]}),
        a_chip("metax-c500", "64GiB", "MXC500"),
        a_chip("hygon-k100-ai", "64GiB", "K100_AI"),
        a_chip("mthreads-s5000", "80GiB", "MTT S5000"),
        a_chip("iluvatar-bi-v150", "64GiB", "BI-V150"),
        a_chip("enflame-s60", "48GiB", "S60"),
        a_chip("biren-br166m", None, "BR166M"),
        a_chip("thead-ppu-zw810e", "96GiB", "PPU-ZW810E"),
        a_chip("nvidia-h100-sxm", "80GiB", "NVIDIA H100 80GB HBM3", "H100 SXM5"),
        a_chip("nvidia-h100-pcie", "80GiB", "NVIDIA H100 PCIe"),
        a_chip("nvidia-h200-sxm", "141GiB", "NVIDIA H200"),
        a_chip("nvidia-h20", "96GiB", "NVIDIA H20", sizes=("96GiB", "141GiB")),
        a_chip("nvidia-rtx4090", "24GiB", "NVIDIA GeForce RTX 4090"),
        a_chip("jetson-orin-nano-8g", "8GiB", "Jetson Orin Nano 8GB"),
        a_chip("rockchip-rk3588", "16GiB", "RK3588", "RK3588S", sizes=("4GiB", "8GiB", "16GiB", "32GiB")),
        a_chip("local", "24GiB", "RTX 4090", kind="cpu"),
    ]
    return Catalog().with_documents(chips)
