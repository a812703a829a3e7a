# Arms a dead-man's switch. If nobody confirms it within `seconds`, and `ref` is still current, the host goes back by
# itself, without a connection. It goes back to the release `back`, called `name`. If `back` is empty, it restores the
# link text `restore`; if `restore` is empty too, it removes the link. Standard input is empty, or a command to run in
# the release `back`. The entries have the beginning of 1970 as their time, which the host replaces when it goes back.

mask=$(umask)
locale=${LC_ALL-}
# The command comes from standard input, because every user of the host could read it on a command line meanwhile.
command=$(cat)
. ./lib/protocol.sh
. ./lib/fenced.sh
. ./lib/files.sh
. ./lib/current.sh
. ./lib/switch.sh
. ./lib/enter-release.sh
. ./lib/releases.sh
ref=$2 back=$3 seconds=$4 name=$5 restore=$6
disarm ""
id=$fence.$$
for old in "$base"/config/confirmed.*; do
  case "${old##*/confirmed.}" in *[!0-9.]*) ;; *) rm -f "$old" ;; esac
done
deadline=$(($(date +%s) + seconds))
err=$({ say "$ref ${back:--} $deadline $restore" > "$base/config/.armed.$$" && mv "$base/config/.armed.$$" "$base/config/armed.$id"; } 2>&1) || fail "$err"
# A shell starts background processes with some signals ignored, and cannot undo that without help. The command comes
# from standard input, so that it is on no command line here either. A here-document would be a file in some shells.
start_plainly() {
  exec 3<&0 </dev/null
  run="command=\$(cat <&3); exec 3<&-; eval \"\$command\""
  if env --default-signal=INT,QUIT true 2>/dev/null; then exec env --default-signal=INT,QUIT sh -c "$run"; fi
  has perl && exec perl -e "@SIG{INT, QUIT} = (DEFAULT, DEFAULT); exec @ARGV" sh -c "$run"
  exec sh -c "$run"
}
(
  trap "" HUP INT TERM PIPE
  sleep "$seconds"
  mv "$base/config/armed.$id" "$base/config/fired.$id" || exit 0
  fence=0
  if is_current "$ref"; then
    [ -z "$back" ] || restore=deployer_$back
    rm -f ".back.$$"
    if [ -n "$restore" ]; then switch_to "$restore" ".back.$$"; else rm -f current; fi
    at=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)
    entries=$(printf "%s\n" "$entries" | sed "s/1970-01-01T00:00:00.000Z/$at/")
    note
    rm -f "$base/config/fired.$id"
    [ -n "$back" ] && [ -n "$command" ] && enter_release "deployer_$back" "$name" && trap - HUP INT TERM PIPE && say "$command" | start_plainly
  fi
  rm -f "$base/config/fired.$id"
) </dev/null >/dev/null 2>&1 &
say "armed $id"
finish
