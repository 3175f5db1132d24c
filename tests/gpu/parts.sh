#!/usr/bin/env bash
# Makes FOLDER.parts/ of FOLDER: one archive in pieces of at most MIB, and join.sh, which puts them together where they came to.
# usage: tests/gpu/parts.sh FOLDER MIB
# join.sh needs bash and Python 3 alone, as run.sh does: xz is not on every machine.
set -euo pipefail

folder=$1
part_mib=$2
parts=$folder.parts
name=$(basename "$folder")

rm -rf "$parts"
mkdir -p "$parts"
tar -C "$(dirname "$folder")" -c "$name" | xz -6 -T0 | split -b "${part_mib}M" -d -a 2 - "$parts/part."
(cd "$parts" && sha256sum part.*) >"$parts/sums"
count=$(wc -l <"$parts/sums")
cat >"$parts/join.sh" <<END
#!/usr/bin/env bash
# Puts the $count parts of $name that came into a folder together and unpacks them there.
# usage: bash join.sh FOLDER     exit: 0 unpacked, 1 a part is damaged or unpacking failed, 4 parts are missing
set -euo pipefail
cd "\$1"
have=\$(find . -maxdepth 1 -name 'part.??' | wc -l)
if [ "\$have" -ne $count ]; then
    echo "\$have of $count parts are here" >&2
    exit 4
fi
sha256sum --quiet -c - <<'SUMS'
$(cat "$parts/sums")
SUMS
rm -rf "$name"
cat part.?? | python3 -c 'import lzma, sys, tarfile; tarfile.open(fileobj=lzma.open(sys.stdin.buffer), mode="r|").extractall()'
echo "unpacked: bash \$1/$name/run.sh"
END
rm "$parts/sums"
echo "and $count parts of $part_mib MiB or less into $parts: bring all into one folder, then: bash join.sh THAT_FOLDER"
