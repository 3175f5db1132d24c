#!/usr/bin/env python3
"""How many live cameras of 1080p30 one machine takes through the whole graph: makes a site of N cameras, runs it, reads the nodes' statistics.

usage: streams.py --bin FOLDER --dora COMMAND --root FOLDER --clip FILE --out FOLDER [--most N] [--seconds S] [--budget S] [--cpu]

A number of cameras passes if each is decoded at 99 % of its rate or more and no node drops, supersedes or misses a frame while it is measured. The most
that passes is found by doubling and halving. `--root` has `models`; `--cpu` measures the graph of the CPU (to try this script without a card).
The last line of the output is a JSON object with everything that was measured; `OUT/streams.md` is the table of it.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

# Cameras that share a process for decoding and one for scaling.
GROUP = 8
FPS = 30.0
# Classes of ages in ms, as runtime/node/src/latency.rs has them; the last one is open.
EDGES_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
# What nodes count when a frame is lost to them.
LOST = ["packets_dropped", "packets_before_keyframe", "packets_refused", "superseded", "frames_stale", "stale", "crops_stale", "frames_missing", "tracks_missing"]


def edge(source, size):
    return f"{{ source: {source}, queue_size: {size}, queue_policy: backpressure }}"


def node(kind, name, inputs, outputs, env, where):
    lines = [f"  - id: {name}", f"    path: {where.bin}/{kind}", "    inputs:", "      tick: dora/timer/millis/500"]
    lines += [f"      {port}: {source}" for port, source in inputs.items()]
    if outputs:
        lines.append(f"    outputs: [{', '.join(outputs)}]")
    if env:
        lines.append("    env:")
        lines += [f"      {key}: {json.dumps(value)}" for key, value in env.items()]
    return "\n".join(lines)


def site(cameras, where, run):
    """The graph: graphs/gpu/site-32.yml for any number of cameras, with absolute paths."""
    on_card = {} if where.cpu else {"MEMORY": "cuda"}
    model = {"DEVICE": "cpu"} if where.cpu else {"DEVICE": "cuda", "MEMORY": "cuda"}
    decoder = {"DECODER": "software"} if where.cpu else {"DECODER": "nvdec", "MEMORY": "cuda", "POOL_SLOTS": 96}
    groups = [range(first, min(first + GROUP, cameras)) for first in range(0, cameras, GROUP)]
    nodes = []
    for g, group in enumerate(groups):
        for c in group:
            env = {"SOURCE": where.clip, "NAME": f"cam{c}", "PACE": "realtime", "REPEAT": True, "WINDOW_PACKETS": 32}
            nodes.append(node("camera", f"camera_{c}", {"credit": edge(f"decode_{g}/credit", 256)}, ["packets"], env, where))
        packets = {f"packets_{c}": edge(f"camera_{c}/packets", 256) for c in group}
        nodes.append(node("decode", f"decode_{g}", packets, ["frames", "credit"], decoder, where))
        scaled = {"WIDTH": 960, "HEIGHT": 544, "POOL_SLOTS": 48, **on_card}
        nodes.append(node("resize", f"resize_{g}", {"frames": edge(f"decode_{g}/frames", 32)}, ["images"], scaled, where))
    images = {f"frames_{g}": edge(f"resize_{g}/images", 32) for g in range(len(groups))}
    frames = {f"frames_{g}": edge(f"decode_{g}/frames", 32) for g in range(len(groups))}
    detector = {"MODEL": f"{where.root}/models/detector.onnx", **model}
    reader = {"MODEL": f"{where.root}/models/reader.onnx", **model}
    operators = {"OPERATORS": "clahe,equalize,adaptive_threshold,morphology,sharpen", **on_card}
    nodes.append(node("detect", "detect", images, ["detections"], detector, where))
    nodes.append(node("track", "track", {"detections": edge("detect/detections", 256)}, ["tracks"], {}, where))
    nodes.append(node("crop", "crop", {"tracks": edge("track/tracks", 256), **frames}, ["crops"], on_card, where))
    nodes.append(node("enhance", "enhance", {"crops": edge("crop/crops", 32)}, ["crops"], operators, where))
    nodes.append(node("recognize", "recognize", {"crops": edge("enhance/crops", 32)}, ["texts"], reader, where))
    texts = {"texts": edge("recognize/texts", 256), "tracks": edge("track/tracks", 256)}
    nodes.append(node("vote", "vote", texts, ["readings"], {}, where))
    store = {"JSONL": f"{run}/readings.jsonl", "EVIDENCE_DIR": f"{run}/evidence"}
    nodes.append(node("store", "store", {"readings": edge("vote/readings", 256)}, [], store, where))
    head = f'env:\n  GANTRY_MODE: live\n  GANTRY_RUN_DIR: {run}\n  ORT_DISABLE_TELEMETRY: "1"\n\nnodes:\n'
    return head + "\n\n".join(nodes) + "\n"


def statistics(run):
    """What every node wrote last; a file that is being replaced is read the next time."""
    found = {}
    for path in sorted((run / "stats").glob("*.json")):
        try:
            stats = json.loads(path.read_text())
            found[stats["node"]] = stats
        except (OSError, ValueError, KeyError):
            continue
    return found


class Card(threading.Thread):
    """Load of the card, once a second: percent of the GPU, percent of NVDEC, MiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.samples, self.over = [], threading.Event()

    def run(self):
        query = ["nvidia-smi", "--query-gpu=utilization.gpu,utilization.decoder,memory.used", "--format=csv,noheader,nounits"]
        while not self.over.wait(1.0):
            try:
                line = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()[0]
                self.samples.append([float(word) if word.strip().replace(".", "").isdigit() else 0.0 for word in line.split(",")])
            except (OSError, subprocess.SubprocessError, IndexError):
                return

    def means(self):
        self.over.set()
        self.join()
        if not self.samples:
            return None
        return {name: sum(s[i] for s in self.samples) / len(self.samples) for i, name in enumerate(["gpu_percent", "nvdec_percent", "memory_mib"])}


def quantile(classes, share, longest_ms):
    """As `Latency::quantile_ms`: within a class ages are taken to be evenly spread."""
    wanted, below = share * sum(classes), 0.0
    for i, n in enumerate(classes):
        if n > 0 and below + n >= wanted:
            lower = EDGES_MS[i - 1] if i else 0.0
            upper = min(EDGES_MS[i], longest_ms) if i < len(EDGES_MS) else longest_ms
            return lower + max(upper - lower, 0.0) * (wanted - below) / n
        below += n
    return None


def compare(before, after, cameras, seconds, card):
    """What happened between two looks at the statistics."""
    count = lambda name, key: after[name].get("counters", {}).get(key, 0) - before[name].get("counters", {}).get(key, 0)
    made = lambda stats: sum(made["published"] for made in stats.get("buffers_made", {}).values())
    decoders = [name for name in after if name.startswith("decode_")]
    frames = sum(made(after[name]) - made(before[name]) for name in decoders)
    lost = {f"{name}/{key}": n for name in after for key in LOST if (n := count(name, key)) > 0}
    cpu = {name: (after[name]["cpu_s"] - before[name]["cpu_s"]) / seconds for name in after}
    copies = {}
    for name in after:
        for port, now in after[name].get("copies", {}).items():
            then = before[name].get("copies", {}).get(port, {})
            for way in ["on_host", "to_card", "from_card", "on_card", "results", "result_bytes"]:
                copies[way] = copies.get(way, 0) + now.get(way, 0) - then.get(way, 0)
    ages = {}
    for name, port in [("detect", "detections"), ("recognize", "texts"), ("vote", "readings")]:
        now, then = (stats[name].get("latency", {}).get(port) for stats in (after, before))
        if now:
            classes = [a - b for a, b in zip(now["classes"], then["classes"] if then else [0] * len(now["classes"]))]
            ages[f"{name}/{port}"] = {f"p{share}": quantile(classes, share / 100, now["max_us"] / 1000) for share in (50, 95, 99)}
    return {
        "cameras": cameras,
        "seconds": round(seconds, 2),
        "fps_per_camera": round(frames / seconds / cameras, 2),
        "lost": lost,
        "ages_ms": ages,
        "cores": round(sum(cpu.values()), 2),
        "cores_per_camera": round(sum(cpu.values()) / cameras, 3),
        "decode_cores_per_camera": round(sum(cpu[name] for name in decoders) / cameras, 4),
        "memory_mb": round(sum(stats["peak_rss_bytes"] for stats in after.values()) / 1e6),
        "copies_per_frame": {way: round(n / max(frames, 1), 3) for way, n in copies.items()},
        "card": card,
        "passed": frames / seconds / cameras >= 0.99 * FPS and not lost,
    }


def measure(cameras, where):
    run = where.out / f"run-{cameras}"
    run.mkdir(parents=True, exist_ok=True)
    graph = run / "site.yml"
    graph.write_text(site(cameras, where, run))
    log = open(run / "log", "w")
    started = subprocess.Popen([*where.dora.split(), "run", str(graph)], stdout=log, stderr=subprocess.STDOUT, cwd=run, start_new_session=True)
    try:
        # Until every node has written and every decoder has pictures: models load meanwhile.
        deadline, wanted = time.monotonic() + where.start, cameras + 2 * -(-cameras // GROUP) + 7
        while True:
            if started.poll() is not None or time.monotonic() > deadline:
                tail = (run / "log").read_text(errors="replace").splitlines()[-25:]
                raise SystemExit(f"{cameras} cameras: the graph did not come up in {where.start} s:\n" + "\n".join(tail))
            stats = statistics(run)
            if len(stats) >= wanted and stats["detect"].get("rows_out", {}).get("detections", 0) > 30 * cameras:
                break
            time.sleep(0.3)
        # What piled up while the models loaded is gone by then.
        time.sleep(3.0)
        card = Card()
        card.start()
        before, then = statistics(run), time.monotonic()
        time.sleep(where.seconds)
        after, now = statistics(run), time.monotonic()
        # Statistics are written once a second: both looks are as old on average.
        return compare(before, after, cameras, now - then, card.means())
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGINT)
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
        log.close()


def table(results):
    lines = [
        "| cameras | passed | frames/s each | lost | p50 / p95 / p99 to the texts, ms | cores | decode, cores each | GPU / NVDEC, % | card, MiB | host, MB | copies of frames host-card |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        age = r["ages_ms"].get("recognize/texts", {})
        ages = " / ".join("-" if age.get(p) is None else f"{age[p]:.0f}" for p in ("p50", "p95", "p99"))
        card = r["card"] or {}
        load = f"{card['gpu_percent']:.0f} / {card['nvdec_percent']:.0f}" if card else "-"
        copies = sum(r["copies_per_frame"].get(way, 0) for way in ("to_card", "from_card", "on_host"))
        memory = f"{card['memory_mib']:.0f}" if card else "-"
        lines.append(
            f"| {r['cameras']} | {'yes' if r['passed'] else 'no'} | {r['fps_per_camera']} | {sum(r['lost'].values())} | {ages} | {r['cores']} | "
            f"{r['decode_cores_per_camera']} | {load} | {memory} | {r['memory_mb']} | {copies:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["--bin", "--dora", "--root", "--clip", "--out"]:
        parser.add_argument(name, required=True)
    parser.add_argument("--first", type=int, default=8, help="cameras of the first attempt")
    parser.add_argument("--most", type=int, default=96, help="cameras at most")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each number is measured")
    parser.add_argument("--start", type=float, default=60.0, help="how long a graph may take to come up")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds for everything; no attempt starts that would not end in time")
    parser.add_argument("--cpu", action="store_true")
    where = parser.parse_args()
    where.out = pathlib.Path(where.out).resolve()
    for name in ["bin", "root", "clip"]:
        setattr(where, name, str(pathlib.Path(getattr(where, name)).resolve()))
    results, started, longest = [], time.monotonic(), where.seconds + 20.0
    passed, failed, cameras = 0, where.most + 1, min(where.first, where.most)
    while passed + 1 < failed and (not results or time.monotonic() - started + longest <= where.budget):
        attempt = time.monotonic()
        result = measure(cameras, where)
        longest = max(longest, time.monotonic() - attempt)
        results.append(result)
        print(json.dumps(result), file=sys.stderr)
        if result["passed"]:
            passed = cameras
        else:
            failed = cameras
        # Up by doubling until one fails, then to the middle; not finer than an eighth.
        if failed - passed <= max(1, passed // 8):
            break
        cameras = min(2 * passed, where.most) if failed > where.most else (passed + failed) // 2
        if cameras in (passed, failed):
            break
    (where.out / "streams.md").write_text(table(results))
    print(json.dumps({"most_that_passed": passed, "results": results}))
    return 0 if passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
