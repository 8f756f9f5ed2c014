# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.report [FOLDER]`: fills the tables of benchmarks/README.md from results.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; one without results is left
as it is.
"""

import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.gpu.colocation import configurations
from benchmarks.results_of import DEFAULT, HEADLINE, HERE, Row, colocation, part, usual
from benchmarks.sharing_tables import reclaim_table, table, tenants_table

NAMES = [each.name for each in configurations.ALL]
NOTHING = "-"
README = HERE / "README.md"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _ratio(row: Row, kind: str) -> str:
    if "missing" in row and kind == "response":
        return str(row["missing"])
    if kind not in row:
        return NOTHING
    if row["saturated"] and kind == "response":
        return "queue saturates"
    found = row[kind]
    return f"{found['p99_ratio']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _outputs(row: Row) -> str:
    if "missing" in row:
        return NOTHING
    wrong = row["wrong_requests"] + row["wrong_checks"]
    if wrong:
        return f"{wrong} WRONG"
    return "equal" if row["same_as_solo"] else "equal in themselves"


def _ours(row: Row) -> str:
    name = str(row["configuration"])
    return f"**{name}**" if name.startswith("gpushare") else name


def _order(row: Row) -> tuple[bool, str, str, float, int]:
    """The headline's pairs first."""
    pair = (row["lc"], row["be"])
    name = row["configuration"]
    place = NAMES.index(name) if name in NAMES else len(NAMES)
    return pair not in HEADLINE, *pair, -row["load"], place


def colocation_table(folder: Path) -> str | None:
    return _sharing(list(filter(usual, colocation(folder))))


def ceilings_table(folder: Path) -> str | None:
    return _sharing(colocation(folder, "ceilings"))


def _sharing(rows: list[Row]) -> str | None:
    rows = sorted(rows, key=_order)
    head = ["service", "job", "load", "configuration", "response p99 / solo", "service p99 / solo"]
    head += ["job / solo", "requests", "outputs"]
    if not rows:
        return None
    return table(
        head,
        (
            [
                row["lc"], row["be"], row["load"], _ours(row), _ratio(row, "response"),
                _ratio(row, "service"), _share(row), row.get("requests", NOTHING), _outputs(row),
            ]
            for row in rows
        ),
    )  # fmt: skip


def _share(row: Row) -> str:
    return f"{row['be_share']:.2f}" if "be_share" in row else NOTHING


def solo_table(folder: Path) -> str | None:
    found: dict[tuple[str, float], Row] = {}
    for row in sorted(colocation(folder), key=lambda row: row.get("requests", 0)):
        if "response" in row:
            found[row["lc"], row["load"]] = row  # the most requests come last
    head = ["service", "load", "response p50, p99", "service p50, p99"]
    if not found:
        return None
    return table(
        head,
        (
            [lc, load, *(_milliseconds(row[kind]) for kind in ("response", "service"))]
            for (lc, load), row in sorted(found.items())
        ),
    )


def _milliseconds(found: Row) -> str:
    return f"{found['solo_p50_ms']:.3f}, {found['solo_p99_ms']:.3f} ms"


def ablation_table(folder: Path) -> str | None:
    rows = colocation(folder, "ablation")
    rows.sort(key=lambda row: (_order(row), row["grace_us"], row["quantum_us"]))
    head = ["service", "job", "load", "configuration", "quantum", "grace", "response", "service"]
    if not rows:
        return None
    return table(
        [*head, "job / solo"],
        (
            [
                row["lc"], row["be"], row["load"], row["configuration"], f"{row['quantum_us']} µs",
                {0: "learned", 1: "none"}.get(row["grace_us"], f"{row['grace_us']} µs"),
                _ratio(row, "response"), _ratio(row, "service"), f"{row['be_share']:.2f}",
            ]
            for row in rows
        ),
    )  # fmt: skip


def pace_table(folder: Path) -> str | None:
    """What a slower clock explains of a service that takes longer."""
    rows = [row for row in colocation(folder, "ceilings") if "service" in row and _clocked(row)]
    head = ["service", "job", "configuration", "service p5 / solo", "p50 / solo", "p99 / solo"]
    if not rows:
        return None
    return table(
        [*head, "SM clock (solo)", "power (solo)"],
        (
            [
                row["lc"], row["be"], _ours(row), *_times_longer(row["service"]),
                *(_beside_solo(row, *what) for what in (("sm_mhz", "MHz"), ("power_w", "W"))),
            ]
            for row in sorted(rows, key=_order)
        ),
    )  # fmt: skip


def _clocked(row: Row) -> bool:
    return bool(row["pace"].get("sm_mhz") and row["solo_pace"].get("sm_mhz"))


def _times_longer(found: Row) -> list[str]:
    return [f"{found[f'{p}_ms'] / found[f'solo_{p}_ms']:.2f}" for p in ("p5", "p50", "p99")]


def _beside_solo(row: Row, name: str, unit: str) -> str:
    return f"{row['pace'][name]:.0f} ({row['solo_pace'][name]:.0f}) {unit}"


def kernels_table(folder: Path) -> str | None:
    found = part(folder, "kernels")
    if found is None:
        return None
    bounds = next(iter(found.values()))["longer_than_us"]
    return table(
        ["job", "kernels a step", *(f"time in those above {us} µs" for us in bounds), "longest"],
        (
            [
                job, each["kernels_per_step"],
                *(f"{100 * each['longer_than_us'][us]:.0f} %" for us in bounds),
                f"{max(each['longest_us'].values()):.0f} µs",
            ]
            for job, each in found.items()
        ),
    )  # fmt: skip


def crowd_table(folder: Path) -> str | None:
    """Against the services without MPS, before and after."""
    found = part(folder, "crowd")
    if found is None:
        return None
    names = list(found["native_ms"][0])
    native = {name: statistics.fmean(each[name] for each in found["native_ms"]) for name in names}
    return table(
        [
            "idle programs on the GPU",
            *(f"{name}: request / without MPS" for name in names),
        ],
        (
            [row["idle"], *(f"{row['ms'][name] / native[name]:.3f}" for name in names)]
            for row in found["rows"]
        ),
    )


def alone_table(folder: Path) -> str | None:
    found = part(folder, "ceilings")
    rows = []
    for row in found["alone"] if found else []:
        if "be" in row:
            cost = f"{row['share']:.3f} of its throughput"
        else:
            cost = f"service p99 {_ratio({**row, 'saturated': False}, 'service')}"
        rows.append([row.get("be") or row["lc"], row["configuration"], cost])
    if not rows:
        return None
    return table(["program alone", "under", "against solo"], rows)


def peers_table(_folder: Path) -> str:
    return table(
        ["service", "job", "system", "response p99 / solo", "service p99 / solo", "job / solo"],
        (
            [*pair, peer.name, peer.response, peer.service, f"{peer.be:.2f}"]
            for pair, found in peers.COLOCATION.items()
            for peer in found
        ),
    )


def caps_table(folder: Path) -> str | None:
    found = part(folder, "caps") or {}
    head = ["over", "program", "neighbour", "limit", "delivered", "error", "changed after"]
    rows = [[base, *_cap(row)] for base, each in found.items() for row in each["rows"]]
    rows += [_threads(row) for each in found.values() for row in each["mps_threads"]]
    if not rows:
        return None
    return table([*head, "converged", "neighbour got", "SM clock"], rows)


def _cap(row: Row) -> list[object]:
    settled, lag = row["converged"].get("first_s"), row.get("lag_s")
    beside, clock = row["neighbour_delivered"], row.get("pace", {}).get("sm_mhz")
    return [
        row["program"], row["neighbour"], f"{row['limit']} %", f"{row['delivered']:.1f} %",
        f"{row['error']:+.1f}", NOTHING if lag is None else f"{1000 * lag:.0f} ms",
        NOTHING if settled is None else f"{settled:.2f} s",
        NOTHING if beside is None else f"{beside:.1f} %",
        NOTHING if clock is None else f"{clock:.0f} MHz",
    ]  # fmt: skip


def _threads(row: Row) -> list[object]:
    limit, got = row["limit"], row["delivered"]
    told = [f"{limit} %", f"{got:.1f} %", f"{got - limit:+.1f}"]
    return ["mps, its own percentage", row["program"], "none", *told, *[NOTHING] * 4]


def caps_peers_table(_folder: Path) -> str:
    rows = [[*row[:2], f"{row[2]} %", f"{row[3]} %"] for row in peers.CAPS]
    return table(["system", "job", "limit", "delivered"], rows)


def suspend_table(folder: Path) -> str | None:
    found = part(folder, "suspend") or {}
    rows = [row for base, each in found.items() if base != "gib" for row in _suspended(base, each)]
    if not rows:
        return None
    return table(["over", "by", "out", "in", "memory afterwards"], rows)


def _exact(found: Row) -> str:
    return "bit-exact" if found["bit_exact"] else "DIFFERENT"


def _suspended(base: str, found: Row) -> Iterable[list[str]]:
    moves, driver = found.get("moves", {}), found.get("checkpoint", {})
    if "warm" in moves:
        middle, exact = moves["warm"]["median"], _exact(moves)
        name = f"gpushare, warm, median of {len(moves['warm']['moves'])}"
        yield [
            base,
            name,
            *_way(middle["out_own_s"], middle["in_own_s"]),
            exact,
        ]
        clean = moves["warm"]["clean"]
        yield [
            base, "gpushare, not run in between",
            *_way(clean["out"]["own_s"], clean["in"]["own_s"]), exact,
        ]  # fmt: skip
        cold = moves["cold"]
        yield [base, "gpushare, cold", *_way(cold["out"]["own_s"], cold["in"]["own_s"]), exact]
    if driver.get("moves"):
        out, back = (statistics.median(m[k] for m in driver["moves"]) for k in ("out_s", "in_s"))
        yield [base, "the driver's checkpoint", *_way(out, back), _exact(driver)]
    elif driver.get("refused"):
        yield [base, "the driver's checkpoint", "refused", driver["refused"], NOTHING]


def _way(out: float, back: float) -> tuple[str, str]:
    return f"{out:.3f} s", f"{back:.3f} s"


def cycles_table(folder: Path) -> str | None:
    found = part(folder, "suspend") or {}
    rows = []
    for base, each in found.items():
        made = each.get("cycles", {}) if base != "gib" else {}
        if "suspended" in made:
            steps = made["suspended"]["steps"]
            exact = "equal, bit by bit" if made["bit_exact"] else "DIFFERENT"
            rows.append([base, made["cycles"], steps, exact])
    if not rows:
        return None
    return table(["over", "cycles", "training steps", "losses, weights, memory"], rows)


def overcommit_table(folder: Path) -> str | None:
    found = part(folder, "overcommit")
    if found is None:
        return None
    exact = "equal, bit by bit" if found["bit_exact"] else "DIFFERENT"
    took, alone = f"{found['together_s']:.1f} s", f"{found['one_after_the_other_s']:.1f} s"
    return table(
        ["jobs", "turn", "turns taken", "together", "one after the other", "ratio", "memory"],
        [
            [
                f"2 of {found['gib_each']} GiB on {found['gpu_gib']:.0f} GiB",
                f"{found['quantum_s']:.0f} s", len(found["switches"]), took, alone,
                f"{found['ratio']:.3f}", exact,
            ]
        ],
    )  # fmt: skip


def overhead_table(folder: Path) -> str | None:
    found = part(folder, "overhead")
    sides = ("without", "with", "low", "movable")
    if found is None or "low" not in found["calls"]["launch"]:
        return None
    rows = [_cost(name, each, "µs", 1000, sides) for name, each in found["calls"].items()]
    rows += [_cost(name, each, "ms", 1, sides) for name, each in found["training"].items()]
    head = ["call", "without", "a share", "of low priority", "that can be suspended"]
    return table(head, rows)


def _cost(name: str, found: Row, unit: str, by: float, sides: Sequence[str]) -> list[str]:
    cells = [name.removesuffix("_ms").replace("_", " ")]
    for side in sides:
        if side not in found:
            cells.append(NOTHING)
            continue
        each = found[side]
        added = "" if side == "without" else f" ({each['added_percent']:+.1f} %)"
        cells.append(f"{each['median'] / by:.3g} {unit}{added}")
    return cells


TABLES: dict[str, Callable[[Path], str | None]] = {
    "colocation": colocation_table,
    "solo": solo_table,
    "ablation": ablation_table,
    "alone": alone_table,
    "ceilings": ceilings_table,
    "pace": pace_table,
    "kernels": kernels_table,
    "crowd": crowd_table,
    "peers": peers_table,
    "caps": caps_table,
    "caps_peers": caps_peers_table,
    "suspend": suspend_table,
    "cycles": cycles_table,
    "overcommit": overcommit_table,
    "overhead": overhead_table,
    "tenants": tenants_table,
    "reclaim": reclaim_table,
}


def filled(text: str, folder: Path) -> str:
    def one(found: re.Match[str]) -> str:
        made = TABLES[found[2]](folder)
        return f"{found[1]}{made}{found[3]}" if made else found[0]

    return MARKED.sub(one, text)


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    README.write_text(filled(README.read_text(), folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
