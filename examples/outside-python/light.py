"""An outside node with frames: mean brightness of every frame of every camera, one JSON line per camera and second.

Inputs `frames_<anything>`: frames/v1. Parameter OUT: the file. The pixels are read where the decoder wrote them.
"""

import json
import os

from dora import Node
from gantry_frames import Reader


def main():
    node = Node()
    frames = Reader(node)
    cameras = {id for id in node.node_config()["inputs"] if id.startswith("frames")}
    seconds = {}
    with open(os.environ.get("OUT", "light.jsonl"), "w", encoding="utf-8") as out:
        for event in node:
            if event["type"] == "INPUT_CLOSED":
                cameras.discard(event["id"])
            # The timer goes on after the last message: a node ends itself when all that it reads has ended.
            if event["type"] == "STOP" or not cameras:
                break
            if event["type"] != "INPUT" or not event["id"].startswith("frames"):
                continue
            for row in event["value"].to_pylist():
                if row["end"]:
                    report(out, row["source"], seconds.pop(row["source"], None))
                    continue
                frame = frames.take(row["handle"])
                if frame is None:  # Live mode: overwritten before it was read.
                    continue
                with frame:
                    mean = float(frame.plane(0).mean())
                # Everything about this frame is done: in a lossless run its buffer may be used again.
                frames.done(row["handle"])
                second = row["pts_ns"] // 1_000_000_000
                found = seconds.setdefault(row["source"], (second, []))
                if found[0] != second:
                    report(out, row["source"], found)
                    found = seconds[row["source"]] = (second, [])
                found[1].append(mean)
        for source, found in seconds.items():
            report(out, source, found)


def report(out, source, found):
    if found and found[1]:
        second, means = found
        line = {"camera": source, "second": second, "frames": len(means), "luma": round(sum(means) / len(means), 4)}
        out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
