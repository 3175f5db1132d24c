#!/usr/bin/env python3
"""Reads clips through the graph of the CPU and through the graph of the card, and compares the plates; counts what was copied between host and card.

usage: plates.py --gantry PROGRAM --cpu GRAPH --card GRAPH --out FOLDER CLIP...
exit:  0 same plates and no frame copied, 1 otherwise. A plate is a camera and a text; confidences may differ in the third digit.

The graph of the CPU sees no card (`CUDA_VISIBLE_DEVICES`), as models take one where they find it; what each model ran on is read in the nodes' logs.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# What `detect` and `recognize` log when their models are open (nodes/detect/src/lib.rs, nodes/recognize/src/lib.rs).
READY = re.compile(r"(detector|reader) is ready\b.*?\bdevice=(\w+)")
NO_CARD = {"CUDA_VISIBLE_DEVICES": "-1"}


def read(gantry, graph, clips, out, environment):
    """Readings, the statistics of every node, and what each model ran on."""
    with tempfile.TemporaryDirectory(prefix="gp-") as tmp:
        command = [gantry, "read", "--quiet", "--keep-run", "--graph", graph, "--out", str(out), *clips]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment, "TMPDIR": tmp})
        # dora prints warnings and errors of the nodes; all that they say it keeps in a file for each.
        files = [path for pattern in ("dora.log", "log_*.jsonl") for path in sorted(pathlib.Path(tmp).rglob(pattern))]
        logs = "\n".join(path.read_text(errors="replace") for path in files)
        if done.returncode != 0:
            errors = "\n".join([line for line in logs.splitlines() if "ERROR" in line][:20])
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}\n{errors}")
        stats = [json.loads(path.read_text()) for path in pathlib.Path(tmp).rglob("stats/*.json")]
    if not stats:
        raise SystemExit(f"{graph}: no statistics were kept")
    readings = [json.loads(line) for line in out.read_text().splitlines() if line]
    return readings, stats, dict(READY.findall(logs))


def wrong_place(name, models, stats):
    """Why this run is not the one of the CPU or not the one of the card; nothing if it is."""
    wanted = {"cpu": "cpu", "card": "cuda"}[name]
    if models != {"detector": wanted, "reader": wanted}:
        return f"the models of the graph of the {name} ran on {models or 'devices that no log names'}, wanted {wanted} for both"
    on_card = [s["node"] for s in stats if not s.get("memory", "host").startswith("host")]
    return f"buffers of {', '.join(sorted(on_card))} lay on a card" if name == "cpu" and on_card else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["--gantry", "--cpu", "--card", "--out"]:
        parser.add_argument(name, required=True)
    parser.add_argument("clips", nargs="+")
    given = parser.parse_args()
    out = pathlib.Path(given.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    plates = {}
    for name, graph, environment in [("cpu", given.cpu, NO_CARD), ("card", given.card, {})]:
        readings, stats, models = read(given.gantry, graph, given.clips, out / f"plates-{name}.jsonl", environment)
        if wrong := wrong_place(name, models, stats):
            raise SystemExit(f"{graph}: {wrong}")
        plates[name] = sorted((r["camera"], r["plate"]) for r in readings)
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
