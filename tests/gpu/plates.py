#!/usr/bin/env python3
"""Reads clips through the graph of the CPU and through the graph of the card, and compares the plates; counts what was copied between host and card.

usage: plates.py --gantry PROGRAM --cpu GRAPH --card GRAPH --out FOLDER CLIP...
exit:  0 same plates and no frame copied, 1 otherwise. A plate is a camera and a text; confidences may differ in the third digit.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile


def read(gantry, graph, clips, out):
    """Readings, and the statistics of every node."""
    with tempfile.TemporaryDirectory(prefix="gp-") as tmp:
        command = [gantry, "read", "--quiet", "--keep-run", "--graph", graph, "--out", str(out), *clips]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": tmp})
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        stats = [json.loads(path.read_text()) for path in pathlib.Path(tmp).rglob("stats/*.json")]
    return [json.loads(line) for line in out.read_text().splitlines() if line], stats


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["--gantry", "--cpu", "--card", "--out"]:
        parser.add_argument(name, required=True)
    parser.add_argument("clips", nargs="+")
    given = parser.parse_args()
    out = pathlib.Path(given.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    plates = {}
    for name, graph in [("cpu", given.cpu), ("card", given.card)]:
        readings, stats = read(given.gantry, graph, given.clips, out / f"plates-{name}.jsonl")
        plates[name] = sorted((r["camera"], r["plate"]) for r in readings)
        if not stats:
            raise SystemExit(f"{graph}: no statistics were kept")
    frames = sum(made["published"] for s in stats if s["kind"] == "decode" for made in s.get("buffers_made", {}).values())
    copies = {f"{s['node']}/{port}": counted for s in stats for port, counted in s.get("copies", {}).items()}
    ways = ["on_host", "to_card", "from_card"]
    copied = {edge: sum(c[way] for way in ways) for edge, c in copies.items() if any(c[way] for way in ways)}
    missing = [p for p in plates["cpu"] if p not in plates["card"]]
    more = [p for p in plates["card"] if p not in plates["cpu"]]
    print(f"{len(plates['cpu'])} plates by the CPU, {len(plates['card'])} by the card, {len(missing)} missing, {len(more)} others; {frames} frames")
    print(f"copies of frames between host and card: {copied or 'none'}")
    print(json.dumps(copies))
    return 0 if plates["cpu"] and not missing and not more and not copied and frames else 1


if __name__ == "__main__":
    sys.exit(main())
