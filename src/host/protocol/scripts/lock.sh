# Takes the lock with the details `claim`, prints the host's state, and keeps the lock while standard input is open.
# Each line of the input is a sign of life. The end of the input, or of the connection, gives the lock back. A lock
# whose holder has been silent for `stale` seconds is taken over. `kind` is `taken`, or `held` for a lock that stays
# until somebody unlocks it. `entries` are journaled if the lock is held or taken over. Sweeps the remains of dead
# commands.

. ./lib/protocol.sh
. ./lib/lock.sh
. ./lib/give-back.sh
. ./lib/journal.sh
. ./lib/files.sh
. ./lib/see.sh
claim=$2 stale=$3 kind=$4 entries=$5
before=free
[ -d "$base/config" ] || { say "unready"; finish; }
# The caller may be gone before the answer. The lock must be given back then, so no signal may end this script before
# that.
trap "" HUP PIPE
tries=0 full=no spare=$base/config/.spare
while :; do
  top
  [ "$state" = free ] || idle
  if [ "$state" = held ] || { [ "$state" = taken ] && [ "$since" -lt "$stale" ]; }; then
    # The clock was set back, and the lock's holder may be dead. From now on it must give signs of life by this clock.
    if [ "$ahead" = yes ]; then live "$token" 2>/dev/null; fi
    say "locked $token $since $details"
    finish
  fi
  mine=$((token + 1)) before=$state
  new=$base/config/.lock.$$
  if ! err=$({ live "$mine" && printf "%s %s\n" "$kind" "$claim" > "$new"; } 2>&1); then
    rm -f "$new" "$base/config/.beat.$$"
    # On a full disk, uses a piece of the space reserved for this: commands that make space need a lock too.
    room=
    for left in 1 2 3 4 5 6 7 8; do
      if real_file "$spare/$left" && [ "$(size_of "$spare/$left")" = 8192 ] && rm -f "$spare/$left" 2>/dev/null; then room=yes; break; fi
    done
    if [ -n "$room" ]; then full=yes; continue; fi
    # Somebody who has just taken the lock may have swept this file: try again.
    tries=$((tries + 30))
    [ "$tries" -ge 100 ] || continue
    look
    case "$state" in not-*) say "unfit $state $where"; finish ;; esac
    if row "$(df -Pk "$base/config" 2>/dev/null)" && [ "$available" -lt 64 ]; then err="no space is left on the disk, not even for a lock ($err)"; fi
    fail "$err"
  fi
  if err=$(ln "$new" "$base/config/lock.$mine" 2>&1); then
    rm -f "$new"
    top
    [ "$token" -eq "$mine" ] && break
    rm -f "$base/config/lock.$mine"
  else
    rm -f "$new"
    # Not every file system has hard links. Without them, the first script makes the file, and fills it a moment later.
    if [ ! -e "$base/config/lock.$mine" ]; then
      (set -C; printf "%s %s\n" "$kind" "$claim" > "$base/config/lock.$mine") 2>/dev/null && break
      [ -e "$base/config/lock.$mine" ] || fail "$err"
    fi
  fi
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || fail "others took it a hundred times meanwhile"
done
for old in "$base"/config/lock.* "$base"/config/beat.*; do
  n=${old##*.}
  number "$n" && [ "$n" -lt "$mine" ] && rm -f "$old"
done
# Removes the files that an earlier holder of the lock would rename or link, so that it cannot complete its change.
# Other people's files stay, whatever their names: ours end in a process id.
is_left() { number "${1##*.}" && n=${1##*.} && [ "${#n}" -le 7 ]; }
for left in "$base"/config/.lock.* "$base"/config/.beat.* "$base"/config/.removing.* "$base"/config/.armed.*; do
  if is_left "$left" && real_file "$left"; then rm -f "$left"; fi
done
for left in "$releases"/deployer_*/.deployer_release.json.* "$releases"/deployer_*/.deployer_altered.*; do
  folder=${left%/*}
  if is_left "$left" && real_file "$left" && real_dir "$folder" && is_ref "${folder##*/deployer_}"; then rm -f "$left"; fi
done
for link in "$releases"/.current.*; do
  if is_left "$link" && [ -L "$link" ]; then
    to=$(link_of "$link")
    [ "$to" = "${to#deployer_}" ] || ! is_ref "${to#deployer_}" || rm -f "$link"
  fi
done
for old in "$releases"/.replaced_*; do
  name=${old##*.replaced_}
  ref=${name%%_*}
  is_ref "$ref" && number "${name#*_}" && real_dir "$old" && is_ours "$old" || continue
  if [ -e "$releases/deployer_$ref" ]; then mv "$old" "$releases/.trash_$name"; else mv "$old" "$releases/deployer_$ref"; fi 2>/dev/null
done
is_survey() { is_left "$1" && [ -z "$(find "$1" ! -path "$1" ! -name manifest ! -name list ! -name sorted ! -name sums ! -name err)" ]; }
for trash in "$releases"/.trash_* "$releases"/.adopting.*; do
  if real_dir "$trash" && { is_trash "$trash" || is_survey "$trash"; }; then
    wipe "$trash" 2>/dev/null || case "$trash" in */.trash_*) mv "$trash" "$releases/.stuck_${trash##*/.trash_}" 2>/dev/null ;; esac
  fi
done
[ "$kind $before" = "taken free" ] || note
# After an interrupted removal: journals the releases that are gone. The others stay.
if [ -s "$base/config/removing" ]; then
  entries=$(only_gone < "$base/config/removing")
  note
  rm -f "$base/config/removing"
fi
if [ "$full" = no ] && [ ! -e "$spare/1" ] && row "$(df -Pk "$base/config" 2>/dev/null)" && [ "$available" -ge 1024 ]; then
  # Several files: a disk may also run out of inodes.
  for left in 1 2 3 4 5 6 7 8; do
    mkdir "$spare"
    [ -e "$spare/$left" ] || dd if=/dev/urandom of="$spare/$left" bs=8192 count=1
  done 2>/dev/null
fi
say "token $mine"
[ "$kind" = held ] && finish
(see)
say "deployer end"
while IFS= read -r line; do
  top
  [ "$token" -eq "$mine" ] && [ "$state" = taken ] || { say "lost"; exit 0; }
  live "$mine"
done
give_back "$mine"
