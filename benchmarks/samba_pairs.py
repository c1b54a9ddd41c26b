"""The drift check of whole populations on Samba: what a look costs where the directory takes its time.

    python benchmarks/samba_pairs.py --pairs 1000 10000 100000          # 100,000 take about a quarter of an hour to fill

Builds a lab for each, fills both directories past their servers, and lets `benchmarks/accounts.py` look at them, in a process of
its own for its peak memory: whole looks beside dumps by ldapsearch, and looks with the memory of a watch after ten changes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from labs import lab_of_its_own
from pairs import looks
from watch import written

HERE = Path(__file__).parent


def main() -> None:
    looks("Samba", two_domains)


@contextmanager
def two_domains(pairs: int, network: int) -> Iterator[Path]:
    """Run a lab; yield the state file of a population with everybody in it."""
    with lab_of_its_own(network, 4) as lab:
        settings = [lab.directory / side / "etc" / "smb.conf" for side in ("source", "target")]
        program = ["/usr/bin/python3", "-I", HERE / "fill_samba.py"]
        filling = [subprocess.Popen([*program, one, str(pairs)]) for one in settings]
        if any([one.wait() for one in filling]):
            sys.exit("a directory could not be filled")
        document = yaml.safe_load(written(lab).read_text(encoding="utf-8"))
        document["resources"] = document["resources"][-1:]
        path = lab.work / "pairs.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        yield path


if __name__ == "__main__":
    main()
