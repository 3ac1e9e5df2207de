"""What Heddle costs over the same work by hand: cold start, pushdown into Parquet, TPC-H.

`python -m benchmarks.overhead [--quick]` prints both sides of each comparison and the machine; the last
line is `RESULT {json}` with the ratios. `--quick` takes less data and fewer repeats, so its
ratios only show that the benchmark works.
"""

from __future__ import annotations

import argparse
import json

from benchmarks import hello, tpch, wide_parquet
from benchmarks.harness import machine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small data, few repeats")
    quick = parser.parse_args().quick
    repeats = 3 if quick else 15
    print(machine(), end="\n\n")

    cold, known = hello.measure(repeats)
    print(cold)
    print(known)
    result = {"hello_ratio": round(cold.ratio, 3), "hello_known_ratio": round(known.ratio, 3)}

    pushdown = wide_parquet.measure(repeats, quick=quick)
    print(pushdown.time)
    print(
        f"{'bytes scanned':<28} heddle {pushdown.heddle_bytes:,}   by hand {pushdown.by_hand_bytes:,}"
        f"   ratio {pushdown.bytes_ratio:.3f}"
    )
    result["parquet_time_ratio"] = round(pushdown.time.ratio, 3)
    result["parquet_bytes_ratio"] = round(pushdown.bytes_ratio, 3)

    queries = tpch.measure(repeats, quick=quick)
    for comparison in queries:
        print(comparison)
    result["tpch_ratio_worst"] = round(max(c.ratio for c in queries), 3)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
