"""An outside node between `vote` and `store`: passes on the readings of plates that stand in a list, and drops the others.

Input `readings`, output `readings`: readings/v1. Parameter PLATES: a text file, one plate a line, `#` begins a comment.
"""

import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
from dora import Node


def main():
    with open(os.environ["PLATES"], encoding="utf-8") as file:
        plates = [line.split("#")[0].strip().upper() for line in file]
    plates = pa.array([p for p in plates if p], pa.string())
    node = Node()
    passed = dropped = 0
    for event in node:
        # The timer goes on after the last message: a node ends itself when what it reads has ended.
        if event["type"] == "STOP" or (event["type"] == "INPUT_CLOSED" and event["id"] == "readings"):
            break
        if event["type"] != "INPUT" or event["id"] != "readings":
            continue
        rows = event["value"]
        # The row that ends a camera has no plate and must reach everybody.
        wanted = pc.or_(rows.field("end"), pc.is_in(rows.field("plate"), plates))
        kept = rows.filter(wanted)
        dropped += len(rows) - len(kept)
        passed += len(kept)
        if len(kept):
            node.send_output("readings", kept, {"gantry_type": "readings/v1"})
    print(f"{passed} rows passed on, {dropped} readings of unknown plates dropped", file=sys.stderr)


if __name__ == "__main__":
    main()
