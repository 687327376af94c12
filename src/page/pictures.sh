#!/bin/sh
# Draws the pictures of the documents: a report, its trees, and the page of a run at work.
#   src/page/pictures.sh RUN FOLDER        RUN: a finished run that was probed with search.keep_order
set -eu
run=$1 folder=$2 espalier=${ESPALIER:-target/release/espalier}
work=$(mktemp -d)
trap 'kill "$watched" 2>/dev/null || :; rm -rf "$work"' EXIT
watched=
shoot() {
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" --virtual-time-budget=8000 \
        --force-device-scale-factor=1 --window-size="$3" $4 --screenshot="$folder/$2" "$1" >/dev/null 2>&1
    test -s "$folder/$2"
}
mkdir -p "$folder"
"$espalier" report "$run" --html "$work/report.html"
shoot "file://$work/report.html" report.png 1200,800 ""
# The second problem, its last two rounds side by side, half way through the simulations.
sed 's#</body>#<script>document.querySelectorAll(".problems button")[1].click(); document.querySelectorAll(".bar button").forEach((button) => button.textContent.startsWith("Two") \&\& button.click()); const slider = [...document.querySelectorAll(".steps input")].at(-1); if (slider) { slider.value = slider.max >> 1; slider.dispatchEvent(new Event("input")); } document.getElementById("trees").scrollIntoView();</script></body>#' \
    "$work/report.html" > "$work/trees.html"
shoot "file://$work/trees.html" trees.png 1200,800 --force-dark-mode
"$espalier" run --run-dir "$work/run" --watch --set rounds.probe.search.keep_order=true 2> "$work/log" >/dev/null &
watched=$!
until test -s "$work/run/rounds/1/search.json"; do sleep 1; done
sleep 5
shoot "$(sed -n 's/.*\(http:[^ ]*\).*/\1/p' "$work/log" | head -1)" live.png 1200,800 ""
