"""Each vendor's tool on what it printed in public, and every parser on what no tool should print."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from orchestrator.adapters.hosts import csv_lines, hy_smi, mthreads_gmi, npu_smi, smi_tables
from orchestrator.adapters.hosts.chips import Chip, mebibytes, pci_address

Parse = Callable[[str], tuple[Chip, ...]]
MIB = 1 << 20
PARSERS: dict[str, Parse] = {
    "npu-smi": npu_smi.npu_smi,
    "cnmon": smi_tables.cnmon,
    "mx-smi": smi_tables.mx_smi,
    "ixsmi": smi_tables.ixsmi,
    "xpu-smi": smi_tables.xpu_smi,
    "ppu-smi": smi_tables.ppu_smi,
    "efsmi": smi_tables.efsmi,
    "mthreads-gmi": mthreads_gmi.mthreads_gmi,
    "hy-smi": hy_smi.hy_smi,
    "brsmi": csv_lines.brsmi,
    "nvidia-smi": csv_lines.nvidia_smi,
}

RECORDED = [
    ("npu-smi", "npu_smi_910b2c", "910B2C", 65536, {0: "0000:5a:00.0", 1: "0000:19:00.0"}, "23.0.2.1"),
    ("npu-smi", "npu_smi_910b4_1", "910B4-1", 65536, {0: "", 1: ""}, "25.2.0"),
    ("npu-smi", "npu_smi_a3", "Ascend910", 65536, {0: "0000:9d:00.0", 1: "0000:9f:00.0"}, "24.1.rc3.7"),
    ("npu-smi", "npu_smi_310b", "310B4", 15609, {0: ""}, "23.0.0"),
    ("npu-smi", "npu_smi_950", "Ascend950DT", 98304, {0: "", 3: ""}, "99.0.rc1.b1"),
    ("cnmon", "cnmon_mlu370", "MLU370-X8", 23374, {0: "0000:39:00.0", 1: "0000:3d:00.0"}, "v5.10.13"),
    ("cnmon", "cnmon_4", "MLU370-X4", 23308, {0: "", 1: ""}, ""),
    ("mx-smi", "mx_smi_c500", "MetaX C500", 65536, {0: "0000:0e:00.0", 1: "0000:0f:00.0"}, "2.12.13"),
    ("ixsmi", "ixsmi_bi_v100", "Iluvatar BI-V100", 32768, {0: "0000:98:00.0"}, "3.1.0"),
    ("ixsmi", "ixsmi_bi_v150", "Iluvatar BI-V150", 32768, {0: "0000:10:00.0", 1: "0000:13:00.0"}, "4.3.0"),
    (
        "xpu-smi",
        "xpu_smi_p800",
        "P800 OAM",
        98304,
        {0: "0000:03:00.0", 1: "0000:05:00.0", 7: "0000:a5:00.0"},
        "5.19.0.0",
    ),
    ("ppu-smi", "ppu_smi_zw810e", "PPU-ZW810E", 98304, {0: "0000:08:00.0"}, "2.1.0-dbda51"),
    ("efsmi", "efsmi_s60", "S60", 49120, {0: "0000:01:00.0"}, "1.2.0.301"),
    ("efsmi", "efsmi_s60g", "Enflame S60G", 23552, {0: "0000:2e:00.0"}, "1.6.3.12"),
    ("mthreads-gmi", "mthreads_gmi_s5000", "MTT S5000", 81920, {0: "0000:2a:00.0", 1: "0000:3a:00.0"}, "3.3.5-server"),
    ("hy-smi", "hy_smi_json", "K100_AI", 65520, {0: "0000:09:00.0", 1: "0000:36:00.0"}, "6.2.35"),
    ("hy-smi", "hy_smi_table", "DCU", None, {0: "", 1: ""}, ""),
    ("brsmi", "brsmi", "Biren106M", 32512, {0: ""}, ""),
    ("nvidia-smi", "nvidia_smi_h200", "NVIDIA H200", 143771, {0: "0000:18:00.0", 1: "0000:29:00.0"}, "570.124.06"),
]


@pytest.mark.parametrize(("file", "expected"), [(one[1], one) for one in RECORDED], ids=[one[1] for one in RECORDED])
def test_every_chip_of_a_recorded_answer_is_read(
    file: str, expected: tuple[str, str, str, int | None, dict[int, str], str], recorded: Callable[[str], str]
) -> None:
    tool, _, name, mib, addresses, driver = expected
    chips = PARSERS[tool](recorded(file))

    assert {chip.index: chip.pci_address for chip in chips} == addresses
    assert len(chips) == len(addresses)
    assert {(chip.name, chip.memory_bytes) for chip in chips} == {(name, mib * MIB if mib else None)}
    assert {(chip.driver, chip.source) for chip in chips} == {(driver, tool)}


def test_a_310p_duo_is_two_chips_with_memory_of_their_own(recorded: Callable[[str], str]) -> None:
    chips = npu_smi.npu_smi(recorded("npu_smi_310p_duo"))

    assert [(chip.index, chip.memory_bytes) for chip in chips] == [(0, 44280 * MIB), (1, 43693 * MIB)]
    assert {chip.generation for chip in chips} == {""}


def test_an_a3_package_is_two_dies(recorded: Callable[[str], str]) -> None:
    chips = npu_smi.npu_smi(recorded("npu_smi_a3"))

    assert [(chip.index, chip.generation) for chip in chips] == [(0, "910C"), (1, "910C")]


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("file", ["nvidia_smi_no_driver", "npu_smi_no_device", "xpu_smi_intel"])
def test_messages_and_tables_of_others_show_no_chip(parse: Parse, file: str, recorded: Callable[[str], str]) -> None:
    assert parse(recorded(file)) == ()


HOSTILE = {
    "nothing": "",
    "bars": "|" * 100_000,
    "empty rows": "npu-smi CNMON MX-SMI IX-ML XPU-RT PPU-SMI Enflame System Management Interface\n" + "||\n" * 50_000,
    "numbers only": "npu-smi XPU-RT\n" + "| 0 |\n" * 10_000,
    "endless name": "MX-SMI\n| 0    " + "x" * 200_000 + " | b |\n| 1/2 MiB |\n",
    "endless number": "IX-ML\n| "
    + "9" * 100_000
    + "   a | b |\n| "
    + "9" * 100_000
    + "MiB / "
    + "9" * 100_000
    + "MiB |",
    "other digits": "XPU-RT\n|  ٣  P800 OAM   N/A | x |\n|  x | ٣MiB / ٤MiB |",
    "deep json": "{" * 100_000 + "}" * 100_000,
    "json of something else": '{"card0": 3, "card1": {"Card Series": ["a"]}, "cardx": {}, "system": []}',
    "binary": "".join(map(chr, range(256))) * 200,
    "commas": "," * 100_000,
    "csv of other things": "0,,,,\n1, a, b, c, d\nx, y, z, v, w\n99999999999999, a, 1, d, e\n",
}


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nonsense_is_read_quickly_and_nothing_impossible_comes_of_it(parse: Parse, text: str) -> None:
    started = time.perf_counter()
    chips = parse(text)

    assert time.perf_counter() - started < 2
    assert len(chips) <= 1024
    assert all(chip.memory_bytes is None or 0 < chip.memory_bytes < 2**50 for chip in chips)


@pytest.mark.parametrize(("tool", "file"), [one[:2] for one in RECORDED], ids=[one[1] for one in RECORDED])
def test_a_damaged_answer_gives_no_more_chips_than_the_whole_one(
    tool: str, file: str, recorded: Callable[[str], str]
) -> None:
    text, draw = recorded(file), random.Random(file)
    whole = len(PARSERS[tool](text))

    for _ in range(100):
        cut = draw.randrange(len(text))
        assert len(PARSERS[tool](text[:cut])) <= whole
        bad = "".join(c if draw.random() > 0.02 else draw.choice("|\0 9\n/é") for c in text)
        PARSERS[tool](bad)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:C1:00.0", "0000:c1:00.0"),
        ("0000:9D:00.0", "0000:9d:00.0"),
        ("00:2e:00.0", "0000:2e:00.0"),
        ("2e:00.0", "0000:2e:00.0"),
        ("00000001:C9:00.0", "0001:c9:00.0"),
        ("0000:06:00.0 --> SN: TRCW", "0000:06:00.0"),
        ("NA", ""),
        ("0000:xx:00.0", ""),
        ("123456789:01:00.0", ""),
    ],
)
def test_addresses_are_written_in_one_way(text: str, address: str) -> None:
    assert pci_address(text) == address


@pytest.mark.parametrize("text", ["[N/A]", "", "0", "-1", "1.5", "٣", "9" * 9, "[Insufficient Permissions]"])
def test_what_is_no_amount_is_unknown(text: str) -> None:
    assert mebibytes(text) is None
