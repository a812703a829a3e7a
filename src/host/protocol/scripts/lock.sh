# Takes the lock with the details `claim`, prints the host's state, and keeps the lock while standard input is open.
# Each line of the input is a sign of life. The end of the input, or of the connection, gives the lock back. If a
# holder has been silent for `stale` seconds, this script takes its lock over. `kind` is `taken`, or `held` for a lock
# that stays until somebody unlocks it. The journal gets `entries` if the lock is held or taken over. The script also
# sweeps the remains of commands that were killed.

. ./lib/protocol.sh
. ./lib/lock.sh
. ./lib/give-back.sh
. ./lib/journal.sh
. ./lib/files.sh
. ./lib/see.sh
. ./lib/aside.sh
claim=$2 stale=$3 kind=$4 entries=$5
before=free
[ -d "$base/config" ] || { say "unready"; finish; }
# The caller may be gone before the answer. The script has to give the lock back then, so no signal may end it first.
trap "" HUP PIPE
tries=0 full=no spare=$base/config/.spare
while :; do
  top
  [ "$state" = free ] || idle
  if [ "$state" = held ] || { [ "$state" = taken ] && [ "$since" -lt "$stale" ]; }; then
    # The clock was set back, and the lock's holder may be dead. Its silence counts from now on.
    if [ "$since" -lt 0 ]; then live "$token" 2>/dev/null; fi
    say "locked $token $since $details"
    finish
  fi
  mine=$((token + 1)) before=$state
  new=$base/config/.lock.$$
  if ! err=$({ live "$mine" && printf "%s %s\n" "$kind" "$claim" > "$new"; } 2>&1); then
    rm -f "$new" "$base/config/.beat.$$"
    # The disk is full. A piece of the reserved space makes room for the lock, because commands that free space need one.
    room=
    for left in 1 2 3 4 5 6 7 8; do
      if real_file "$spare/$left" && [ "$(size_of "$spare/$left")" = 8192 ] && rm -f "$spare/$left" 2>/dev/null; then room=yes; break; fi
    done
    if [ -n "$room" ]; then full=yes; continue; fi
    # Another script may have taken the lock and swept this file, so the script tries again.
    tries=$((tries + 30))
    [ "$tries" -ge 100 ] || continue
    look
    case "$state" in
      not-*)
        mount_of "$where"
        case "$mounted" in *" ro "*) state=read-only ;; esac
        say "unfit $state $where"
        finish ;;
    esac
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
    # Not every file system has hard links. Without them, the first script to make the file has the lock, and fills the
    # file a moment later.
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
# Removes the files that an earlier holder of the lock would rename or link, so that this holder cannot complete its
# change. Other people's files stay. deployer's own files have names that end in a process id, and known content. A file
# with such a name but other content is reported once.
fires=
for fired in "$base"/config/fired.*; do [ ! -e "$fired" ] || fires=yes; done
is_left() { number "${1##*.}" && n=${1##*.} && [ "${#n}" -le 7 ]; }
is_draft() {
  real_file "$1" || return 1
  # A crash may have left NUL bytes in the file.
  line=$(tr -d "\000" < "$1" | sed -n "1,2p")
  [ -n "$line" ] || return 0
  case "${1##*/} $line" in
    .lock.*" taken "* | .lock.*" held "* | .lock.*" free "* | .removing.*" {\"event\":\"removed\""* | removing" {\"event\":\"removed\""*) ;;
    .beat.*) case "$line" in *[!0-9a-f\ -]*) return 1 ;; esac ;;
    .armed.* | .disarmed.*) is_ref "${line%% *}" ;;
    *) return 1 ;;
  esac
}
stranger() {
  path=${1#"$base"/}
  case "$nl$(cat "$base/config/.foreign" 2>/dev/null)$nl" in *"$nl$path$nl"*) return ;; esac
  say "stranger $(flat "$1")"
  say "$path" 2>/dev/null >> "$base/config/.foreign"
}
for left in "$base"/config/.lock.* "$base"/config/.beat.* "$base"/config/.removing.* "$base"/config/.armed.* "$base"/config/.disarmed.*; do
  is_left "$left" && [ -e "$left" ] || continue
  if is_draft "$left"; then rm -f "$left"; else stranger "$left"; fi
done
for left in "$releases"/deployer_*/.deployer_release.json.* "$releases"/deployer_*/.deployer_altered.*; do
  folder=${left%/*}
  if is_left "$left" && real_file "$left" && real_dir "$folder" && is_ref "${folder##*/deployer_}"; then rm -f "$left"; fi
done
drop_link() {
  [ -L "$1" ] && to=$(link_of "$1") && [ "$to" != "${to#deployer_}" ] && is_ref "${to#deployer_}" && rm -f "$1"
}
for link in "$releases"/.current.* "$releases"/.back.*; do
  link=${link%.d}
  is_left "$link" || continue
  # The host may be going back by itself, which needs no lock.
  case "$link" in */.back.*) [ -z "$fires" ] || continue ;; esac
  # A script may move the link into the folder meanwhile, so the folder comes last.
  drop_link "$link"
  drop_link "$link.d/current"
  rmdir "$link.d" 2>/dev/null
done
for old in "$releases"/.replaced_*; do
  id=${old##*.replaced_}
  is_trash_name ".trash_$id" && real_dir "$old" || continue
  folder=$releases/deployer_${id%%_*}
  if [ -e "$folder" ] && is_remnant "$old"; then mv "$old" "$releases/.trash_$id"
  elif [ ! -e "$folder" ] && is_ours "$old"; then mv "$old" "$folder"
  else stranger "$old"
  fi 2>/dev/null
done
# shellcheck disable=SC2012 # Other names are not of a survey, whatever they hold.
is_survey() { [ -z "$(ls -A "$1" | sed "/^manifest$/d;/^list$/d;/^sorted$/d;/^sums$/d;/^err$/d")" ]; }
for trash in "$releases"/.trash_*; do
  is_trash_name "$trash" && [ -e "$trash" ] || continue
  if is_trash "$trash"; then wipe "$trash" 2>/dev/null || [ -z "$(odd_in "$trash")" ] || set_aside "$trash"
  else stranger "$trash"
  fi
done
for trash in "$releases"/.adopting.*; do
  is_left "$trash" && [ -e "$trash" ] || continue
  if real_dir "$trash" && is_survey "$trash"; then wipe "$trash" 2>/dev/null; else stranger "$trash"; fi
done
for folder in "$releases"/.staging_* "$releases"/.adopting_*; do
  is_ref "${folder##*_}" && [ -e "$folder" ] || continue
  real_dir "$folder" && is_begun "$folder" || stranger "$folder"
done
[ "$kind $before" = "taken free" ] || note
# After an interrupted removal, the journal gets the releases that are gone. The other releases stay.
if [ -s "$base/config/removing" ] && is_draft "$base/config/removing"; then
  entries=$(only_gone < "$base/config/removing")
  if note; then rm -f "$base/config/removing"; fi
fi
is_roomy() {
  row "$(df -Pk "$base/config" 2>/dev/null)" && [ "$available" -ge 1024 ] && { ! inodes "$base/config" || [ "$available" -ge 64 ]; }
}
if [ "$full" = no ] && [ ! -e "$spare/1" ] && is_roomy; then
  # The reserved space is several files, because a disk may also run out of inodes.
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
