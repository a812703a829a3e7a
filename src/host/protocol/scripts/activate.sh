# Switches the link to the release `ref`. `kept` is the id of the dead-man's switch that stays armed, or empty. If
# `record` is not empty, it is written first, as the release's record. If the kept switch fires before the link changes,
# it cannot guard the release, so the link is switched back.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/sync.sh
. ./lib/switch.sh
. ./lib/record.sh
. ./lib/releases.sh
ref=$2 kept=$3 record=$4
folder=deployer_$ref
real_dir "$folder" || fail "there is no $folder"
[ -n "$record" ] || [ -f "$folder/.deployer_release.json" ] || fail "$folder is not complete"
if [ ! -L current ] && [ -e current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
for link in .current.*; do
  [ -L "$link" ] || continue
  case "${link#.current.}" in *[!0-9]*) continue ;; esac
  # deployer's own links lead to a release by its ref.
  case "$(link_of "$link")" in deployer_????????????????????????????????) ;; *) continue ;; esac
  kill -0 "${link#.current.}" 2>/dev/null || rm -f "$link"
done
disarm "$kept"
over() { [ -n "$1" ] && [ ! -e "$base/config/armed.$1" ]; }
late="the time of the dead-man switch was up before that, so nothing was switched"
over "$kept" && fail "$late"
[ -z "$record" ] || draft_record "$ref" "$record"
before=
[ ! -L current ] || before=$(link_of current)
rm -f ".current.$$"
flush
# The record is written only now, because a release with a record counts as complete.
[ -z "$record" ] || keep_record
switch_to "$folder" ".current.$$"
if over "$kept"; then
  await_fired
  if [ "$(link_of current)" = "$folder" ] && [ "$before" != "$folder" ]; then
    if [ -n "$before" ]; then switch_to "$before" ".current.$$"; else rm -f current; fi
  fi
  fail "$late"
fi
conclude
