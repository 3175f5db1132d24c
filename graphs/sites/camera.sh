#!/bin/sh
# Adds a camera to a running site, or takes one away, and leaves the others alone:
#
#   graphs/sites/camera.sh add SITE NAME SOURCE [CREDENTIALS_FILE]
#   graphs/sites/camera.sh remove SITE NAME
#
# SITE is the name of the dataflow (`dora list`), NAME the camera's. The nodes are those of modules/live_camera.module.yml: NAME.camera and NAME.decode;
# `detect` and `crop` read them as they read the cameras of the graph. Paths count from the folder of the site's graph. An added camera is gone
# when the site is started again: write it into the graph, too. DORA names another dora, RUN_DIR another folder for statistics.
set -eu

usage() {
    sed -n '2,5p' "$0" >&2
    exit 2
}

dora() {
    "${DORA:-dora}" "$@"
}

# Node $1, whose definition is on stdin.
add() {
    cat >"$work/$1.yml"
    dora node add -d "$site" --from-yaml "$work/$1.yml"
}

# What a graph says for all its nodes does not reach those that are added.
common="GANTRY_MODE: live${RUN_DIR:+, GANTRY_RUN_DIR: \"$RUN_DIR\"}"

[ $# -ge 3 ] || usage
action=$1 site=$2 name=$3
case $name in *[!A-Za-z0-9_]*) echo "camera.sh: \`$name\`: a name has letters, digits and _ only" >&2 && exit 2 ;; esac

case $action in
add)
    [ $# -ge 4 ] || usage
    source=$4
    case $source in *://*@*) echo "camera.sh: put user:password into a file of mode 0600, the graph is for everybody to read" >&2 && exit 2 ;; esac
    credentials=${5:+, CREDENTIALS_FILE: \"$5\"}
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    add "$name.decode" <<YAML
id: $name.decode
path: bin/decode
restart_policy: on-failure
restart_delay: 0.2
max_restart_delay: 5.0
inputs:
  tick: dora/timer/millis/500
  packets: { source: $name.camera/packets, queue_size: 256, queue_policy: backpressure }
outputs: [frames, credit]
env: { $common, GANTRY_READERS: "frames=detect:8,crop:8" }
YAML
    dora node connect -d "$site" "$name.decode/frames" "detect/frames_$name"
    dora node connect -d "$site" "$name.decode/frames" "crop/frames_$name"
    # Last: what it sends is read from the first packet on.
    add "$name.camera" <<YAML
id: $name.camera
path: bin/camera
restart_policy: on-failure
restart_delay: 0.2
max_restart_delay: 5.0
inputs:
  tick: dora/timer/millis/500
  credit: { source: $name.decode/credit, queue_size: 256, queue_policy: backpressure }
outputs: [packets]
env: { $common, WINDOW_PACKETS: 32, NAME: $name, SOURCE: "$source"$credentials }
YAML
    ;;
remove)
    # From the source on: what was sent is still read.
    left=
    for node in camera decode; do
        dora node remove -d "$site" "$name.$node" || left="$left $name.$node"
    done
    if [ -n "$left" ]; then
        echo "camera.sh: not removed:$left; dora keeps the name of a node that has ended by itself until the site is started again: add the camera under another" >&2
        exit 1
    fi
    ;;
*) usage ;;
esac
