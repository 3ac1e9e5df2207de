"""Makes `data/transactions.jsonl`: 100,000 transactions, some 60 of them over 10,000.

`python generate.py [FOLDER]` writes into FOLDER (default: `data` beside this file). The same seed gives the
same file; one that is there already is left alone.
"""

from __future__ import annotations

import datetime
import json
import random
import sys
from pathlib import Path

TRANSACTIONS = 100_000
USERS = 50_000
SUSPICIOUS = 0.0006
SEED = 20_260_102
BEGIN = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
CURRENCIES = ["EUR", "GBP", "JPY", "USD"]


def transactions(count: int = TRANSACTIONS) -> list[str]:
    """One JSON object a line, a second apart."""
    dice = random.Random(SEED)
    lines = []
    for second in range(count):
        low, high = (10_001.0, 60_000.0) if dice.random() < SUSPICIOUS else (1.0, 9_999.0)
        at = BEGIN + datetime.timedelta(seconds=second)
        lines.append(
            json.dumps(
                {
                    "user_id": dice.randint(1, USERS),
                    "amount": round(dice.uniform(low, high), 2),
                    "currency": dice.choice(CURRENCIES),
                    "at": at.isoformat().replace("+00:00", "Z"),
                }
            )
        )
    return lines


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    file = folder / "transactions.jsonl"
    if file.exists():
        print(f"{file}: there already", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text("".join(f"{line}\n" for line in transactions()))
    partial.rename(file)
    print(f"{file}: {TRANSACTIONS:,} transactions", file=sys.stderr)


if __name__ == "__main__":
    main()
