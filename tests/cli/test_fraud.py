"""`auth1 fraud`: files are loaded as a whole or not at all, also while they are in use."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
async def _no_datasets(run: Run) -> None:
    """Remove what other tests loaded."""
    await run("fraud", "load-prefixes", "--remove")
    await run("fraud", "load-networks", "tor", "--remove")


async def loaded(run: Run) -> str:
    return (await run("fraud", "datasets")).out


async def test_loaded_files_are_listed_and_removed(run: Run, tmp_path: Path) -> None:
    prefixes, exits = tmp_path / "prefixes.csv", tmp_path / "exits.txt"
    prefixes.write_bytes(b"\xef\xbb\xbfprefix,line_type\r\n4470,personal\r\n44,mobile\r\n")
    exits.write_text("# exits\n203.0.113.7\n2001:db8::/32\n")

    assert (await run("fraud", "load-prefixes", str(prefixes), "--json")).json()["entries"] == 2
    assert (await run("fraud", "load-networks", "tor", str(exits))).out.startswith("loaded 2 tor networks: ")

    lines = (await loaded(run)).splitlines()
    assert [line.split()[:3] for line in lines] == [["networks/tor", "2", "entries"], ["prefixes", "2", "entries"]]
    assert (await run("fraud", "load-prefixes", "--remove")).out == "removed: prefixes\n"
    assert (await run("fraud", "load-prefixes", "--remove", "--json")).json() == {"removed": False}
    assert len((await loaded(run)).splitlines()) == 1


async def test_bad_file_changes_nothing_and_names_the_line(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("44,mobile\n")
    await run("fraud", "load-prefixes", str(good))
    before = await loaded(run)

    for content, problem in (
        (b"44,landline\n45,voip\n", "line 2: voip is no line type"),
        (b"44,landline\n\xff,mobile\n", "line 2: is not UTF-8 text"),
        (b"44,landline\n" + b"4" * 100_000, "line 2: is longer than 200 bytes"),
    ):
        bad.write_bytes(content)
        ended = await run("fraud", "load-prefixes", str(bad))
        assert ended.code == 1
        assert f"{bad}: {problem}" in ended.err
        assert ended.err.endswith("Nothing was changed\n")

    assert await loaded(run) == before


@pytest.mark.parametrize("arguments", [("load-prefixes",), ("load-prefixes", "x.csv", "--remove"), ("load-networks",)])
async def test_file_or_remove_is_required(run: Run, arguments: tuple[str, ...]) -> None:
    assert (await run("fraud", *arguments)).code == 2


async def test_missing_file_and_unknown_network_are_errors(run: Run, tmp_path: Path) -> None:
    missing = await run("fraud", "load-networks", "vpn", str(tmp_path / "no.txt"))
    unknown = await run("fraud", "load-networks", "proxy", str(tmp_path / "no.txt"))

    assert (missing.code, unknown.code) == (1, 2)
    assert "cannot be read: No such file or directory" in missing.err
    assert "hosting" in unknown.err
