"""Names of tools and labels to profiles, and memory that was read over memory that was written."""

from __future__ import annotations

import pytest
from chips import confusable_chips

from orchestrator.api.kinds import Catalog
from orchestrator.core.recognition import recognise, recognise_pci

MIB = 1 << 20


@pytest.fixture
def catalog() -> Catalog:
    return confusable_chips()


@pytest.mark.parametrize(
    ("name", "mib", "profile", "over_mib"),
    [
        ("910B2", 65536, "ascend-910b2", None),
        ("Ascend910B2", 65536, "ascend-910b2", None),
        ("910B4", 32768, "ascend-910b4", None),
        ("910B4", 65536, "ascend-910b4", 65536),
        ("910B4-1", 65536, "ascend-910b4-1", None),
        ("910C", 65536, "ascend-910c", None),
        ("310P3", 21527, "ascend-310p", None),
        ("310P3", 44280, "ascend-310p", 44280),
        ("310B4", 15609, "ascend-310b", 15609),
        ("MLU590-M9", 98304, "cambricon-mlu590-m9", None),
        ("MLU590-M9D", 81920, "cambricon-mlu590-m9", 81920),
        ("MetaX C500", 65536, "metax-c500", None),
        ("MXC500", 65536, "metax-c500", None),
        ("P800 OAM", 98304, "kunlun-p800", None),
        ("K100_AI", 65520, "hygon-k100-ai", None),
        ("MTT S5000", 81920, "mthreads-s5000", None),
        ("Iluvatar BI-V150", 32768, "iluvatar-bi-v150", 32768),
        ("S60", 49120, "enflame-s60", None),
        ("S60", 42976, "enflame-s60", 42976),
        ("Biren166M", 65536, "biren-br166m", 65536),
        ("PPU-ZW810E", 98304, "thead-ppu-zw810e", None),
        ("NVIDIA H100 80GB HBM3", 81559, "nvidia-h100-sxm", None),
        ("NVIDIA-H100-80GB-HBM3", 81559, "nvidia-h100-sxm", None),
        ("NVIDIA H100 PCIe", 81559, "nvidia-h100-pcie", None),
        ("NVIDIA H200", 143771, "nvidia-h200-sxm", None),
        ("NVIDIA H20", 97871, "nvidia-h20", None),
        ("NVIDIA H20", 143771, "nvidia-h20", 143771),
        ("NVIDIA GeForce RTX 4090", 49140, "nvidia-rtx4090", 49140),
        ("Jetson Orin Nano 8GB", 7620, "jetson-orin-nano-8g", 7620),
    ],
)
def test_name_and_memory_tell_the_profile(
    name: str, mib: int, profile: str, over_mib: int | None, catalog: Catalog
) -> None:
    """Rule 4: memory is read, never taken from the family's name."""
    match = recognise(name, mib * MIB, catalog.profiles.values())

    assert match.profile == profile
    assert match.memory_bytes == (over_mib * MIB if over_mib else None)
    assert bool(match.note) == (over_mib is not None)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Ascend910", "ascend-910b2 or ascend-910b4"),
        ("NVIDIA H100 NVL", "nvidia-h100"),
        ("NVIDIA GeForce RTX 4090 D", "nvidia-rtx4090"),
        ("Enflame S60G", "enflame-s60"),
        ("Enflame L300", "no profile in the catalog is called Enflame L300"),
        ("", "no profile"),
        ("\0" * 500, "no profile"),
        ("a" * 1_000_000, "no profile"),
    ],
)
def test_another_chip_stays_unknown_and_what_is_near_is_named(name: str, near: str, catalog: Catalog) -> None:
    match = recognise(name, 80 << 30, catalog.profiles.values())

    assert match.profile is None
    assert near in match.note


def test_the_order_of_the_catalog_does_not_matter(catalog: Catalog) -> None:
    one = recognise("NVIDIA H100", 81559 * MIB, catalog.profiles.values())
    other = recognise("NVIDIA H100", 81559 * MIB, reversed([*catalog.profiles.values()]))

    assert one == other


def test_memory_that_was_not_read_is_said(catalog: Catalog) -> None:
    profiles = catalog.profiles.values()

    assert "64GiB" in recognise("910B4", None, profiles).note
    assert "not read" in recognise("910B2", None, profiles).note


@pytest.mark.parametrize(
    ("pci_id", "profile", "said"),
    [
        ("1d22:3686", "kunlun-p800", "not read"),
        ("1d22:9999", None, "kunlun-p800 or kunlun-r200"),
        ("19e5:d802", None, "ascend-910b2"),
        ("ffff:0000", None, "not enough"),
        ("", None, "not enough"),
    ],
)
def test_ids_on_the_bus_tell_a_profile_only_where_the_catalog_lists_the_device(
    pci_id: str, profile: str | None, said: str, catalog: Catalog
) -> None:
    match = recognise_pci(pci_id, catalog.profiles.values())

    assert match.profile == profile
    assert said in match.note
