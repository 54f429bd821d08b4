"""Hosts made of files and recorded answers: what is found, and what is said about contradictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.adapters.hosts import boards, detect, sites
from orchestrator.adapters.hosts.detect import Found
from orchestrator.adapters.hosts.tools import Answer
from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load

MIB = 1 << 20
Recorded = Callable[[str], str]
ORIN_NANO = "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0"


class Host:
    """A root folder and the tools that answer."""

    def __init__(self, root: Path, catalog: Catalog) -> None:
        self.root, self.catalog = root, catalog
        self.answers: dict[str, Answer] = {}
        (root / "sys/bus/pci/devices").mkdir(parents=True)

    def device(self, address: str, vendor: str, device: str, kind: str = "0x120000") -> Path:
        folder = self.root / "sys/bus/pci/devices" / address
        folder.mkdir()
        for name, text in (("vendor", vendor), ("device", device), ("class", kind)):
            (folder / name).write_text(f"{text}\n")
        return folder

    def write(self, path: str, text: str = "") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def look(self) -> Found:
        return detect.look(self.catalog, self.root, lambda name, _arguments, _places: self.answers.get(name))


@pytest.fixture
def host(tmp_path: Path, catalog: Catalog) -> Host:
    return Host(tmp_path, catalog)


def shown(found: Found) -> list[tuple[str, int | None, str | None, str]]:
    return [
        (chip.name, chip.memory_bytes and chip.memory_bytes // MIB, chip.profile, chip.source)
        for chip, _ in found.chips
    ]


def test_a_host_with_nothing_has_nothing_and_no_notes(host: Host) -> None:
    assert host.look() == Found((), ())


def test_a_tool_tells_more_than_the_bus_and_nothing_is_counted_twice(host: Host, recorded: Recorded) -> None:
    for address in ("0000:5a:00.0", "0000:19:00.0"):
        host.device(address, "0x19e5", "0xd802")
    host.answers["npu-smi"] = Answer(recorded("npu_smi_910b2c").replace("910B2C", "910B2 "))

    found = host.look()

    assert shown(found) == [("910B2", 65536, "ascend-910b2", "npu-smi")] * 2
    assert found.notes == ()


def test_chips_that_the_tool_does_not_show_are_named(host: Host, recorded: Recorded) -> None:
    for address in ("0000:5a:00.0", "0000:19:00.0", "0000:99:00.0"):
        host.device(address, "0x19e5", "0xd802")
    host.answers["npu-smi"] = Answer(recorded("npu_smi_910b2c"))

    found = host.look()

    assert found.notes == ("Huawei: on the PCI bus, but not shown by npu-smi: 0000:99:00.0",)
    assert len(found.chips) == 2


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (None, "npu-smi is not here: install the driver's tools"),
        (Answer("", "npu-smi did not answer in time"), "npu-smi did not answer in time"),
        (Answer("dcmi module initialize failed. ret is -8005\n", "npu-smi ended with code 1"), "code 1: dcmi module"),
        (Answer("\0\x1b[31m\x07 \n"), "npu-smi shows no chip"),
        (Answer("", "/usr/bin/npu-smi cannot be started: Permission denied"), "Permission denied"),
    ],
)
def test_without_an_answer_the_bus_says_what_is_there(host: Host, answer: Answer | None, note: str) -> None:
    host.device("0000:c1:00.0", "0x19e5", "0xd802")
    if answer is not None:
        host.answers["npu-smi"] = answer

    found = host.look()

    assert shown(found) == [("Huawei d802", None, None, "pci")]
    assert [note in said for said in found.notes] == [True]
    assert "19e5:d802" in found.chips[0][1].note


def test_ids_that_the_catalog_lists_are_enough_to_plan_on(host: Host) -> None:
    host.device("0000:03:00.0", "0x1d22", "0x3686")

    assert shown(host.look()) == [("Kunlunxin 3686", None, "kunlun-p800", "pci")]


def test_network_cards_screens_and_virtual_functions_are_no_chips(host: Host) -> None:
    host.device("0000:01:00.0", "0x19e5", "0x1711", "0x030000")
    host.device("0000:02:00.0", "0x19e5", "0x0222", "0x020000")
    host.device("0000:03:00.0", "0x1d94", "0x1468", "0x108000")
    host.device("0000:04:00.0", "0x8086", "0x56a0", "0x030000")
    (host.device("0000:05:00.1", "0x10de", "0x2330", "0x030200") / "physfn").write_text("")

    assert host.look() == Found((), ())


def test_two_dies_of_a_package_are_two_chips_of_the_profile(host: Host, recorded: Recorded) -> None:
    """Rule 2: the 910C is counted in dies."""
    host.answers["npu-smi"] = Answer(recorded("npu_smi_a3"))
    host.write("etc/hccl_rootinfo.json", '{"version": "1.2"}')

    found = host.look()

    assert shown(found) == [("Ascend910", 65536, "ascend-910c", "npu-smi")] * 2
    assert found.notes == ("/etc/hccl_rootinfo.json says Atlas A3",)


def test_makers_who_ship_an_nvidia_smi_of_their_own_are_not_seen_twice(host: Host, recorded: Recorded) -> None:
    host.answers["ppu-smi"] = Answer(recorded("ppu_smi_zw810e"))
    host.answers["nvidia-smi"] = Answer("0, PPU-ZW810E, 98304, 2.1.0, 00000000:08:00.0\n")

    assert shown(host.look()) == [("PPU-ZW810E", 98304, "thead-ppu-zw810e", "ppu-smi")]


def test_intels_tool_of_the_same_name_shows_no_kunlun(host: Host, recorded: Recorded) -> None:
    host.answers["xpu-smi"] = Answer(recorded("xpu_smi_intel"))

    found = host.look()

    assert found.chips == ()
    assert "xpu-smi shows no chip" in found.notes[0]


def test_a_jetson_is_its_board_and_its_memory_is_what_tegrastats_says(host: Host, recorded: Recorded) -> None:
    host.write("proc/device-tree/compatible", ORIN_NANO)
    host.write("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n")
    host.answers["nvidia-smi"] = Answer("0, Orin (nvgpu), [N/A], 540.4.0, [N/A]\n")
    host.answers["tegrastats"] = Answer(recorded("tegrastats_orin_nano"))

    found = host.look()

    assert shown(found) == [("Jetson Orin Nano 8GB", 7620, "jetson-orin-nano-8g", "device tree")]
    assert found.chips[0][0].driver == "R35.4.1"


def test_a_rockchip_board_is_known_by_its_device_tree(host: Host) -> None:
    host.write("proc/device-tree/compatible", "radxa,rock-5b\0rockchip,rk3588\0")
    host.write("proc/meminfo", "MemTotal:        8027132 kB\n")
    host.write("sys/kernel/debug/rknpu/version", "RKNPU driver: v0.9.8\n")

    found = host.look()

    assert shown(found) == [("RK3588", 7838, "rockchip-rk3588", "device tree")]
    assert found.chips[0][0].driver == "rknpu 0.9.8"


def test_an_ascend_board_without_tools_is_known_by_its_device_file(host: Host) -> None:
    host.write("dev/davinci0")

    assert shown(host.look())[0][0] == "310B"


@pytest.mark.parametrize("text", ["", "R35", "# R (release), REVISION: x", "\0" * 100])
def test_another_file_in_the_place_of_the_release_says_nothing(text: str) -> None:
    assert boards.tegra_release(text) == ""


def test_the_site_of_a_host_can_be_loaded_and_planned_on(host: Host, recorded: Recorded) -> None:
    host.answers["npu-smi"] = Answer(recorded("npu_smi_310p_duo"))
    host.answers["efsmi"] = Answer(recorded("efsmi_s60g"))
    host.answers["mx-smi"] = Answer(recorded("mx_smi_c500"))

    site = sites.site("here", "cn-east", host.look().chips)

    assert [(pool.profile, pool.chips, pool.memory) for pool in site.spec.pools] == [
        ("local", 1, None),
        ("ascend-310p", 2, 43693 * MIB),
        ("metax-c500", 2, None),
    ]
    assert load(site.model_dump_json(by_alias=True), "site.json")[0].document == site
