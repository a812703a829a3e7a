# A lock is a file `config/lock.<token>` of one line: `taken`, `held` or `free`, and the details. The highest token
# counts. To take the lock, a script makes the file of the next token, complete with details, with link(2). Only one
# script can succeed. No script removes the highest token. `top` sets `token` (0: never locked), `state` and `details`.
# `idle` sets `since`, the seconds since the last sign of life, which are negative if the clock was set back. A sign of
# life, `config/beat.<token>`, holds the time of the host's clock and, on Linux, the uptime, which nobody can set.

number() {
  case "$1" in "" | 0?* | *[!0-9]*) return 1 ;; esac
  [ "${#1}" -le 15 ]
}
top() {
  token=0 state=free details=
  for lock in "$base"/config/lock.*; do
    n=${lock##*.}
    number "$n" && [ "$n" -gt "$token" ] && token=$n
  done
  [ "$token" -gt 0 ] || return 0
  state=$base/config/lock.$token lock=
  [ ! -f "$state" ] || IFS= read -r lock 2>/dev/null < "$state"
  # shellcheck disable=SC2034 # lock.sh reads details.
  state=${lock%% *} details=${lock#* }
  case "$state" in free | held) ;; *) state=taken ;; esac
}
clock() {
  now=$(date +%s)
  number "$now" || now=0
  up= boot=
  IFS="." read -r up boot 2>/dev/null < /proc/uptime
  number "$up" && IFS= read -r boot 2>/dev/null < /proc/sys/kernel/random/boot_id || up=0 boot=
}
# shellcheck disable=SC2034 # lock.sh and inspect.sh read since.
idle() {
  # Without such a file, beat stays a path, which is no number.
  beat=$base/config/beat.$token beat_up= beat_id=
  [ ! -f "$beat" ] || IFS=" " read -r beat beat_up beat_id 2>/dev/null < "$beat"
  clock
  if [ -n "$boot" ] && [ "$boot" = "$beat_id" ] && number "$beat_up"; then since=$((up - beat_up))
  elif number "$beat"; then since=$((now - beat))
  else since=$now
  fi
}
# Renames a finished file into place. A file that is still being written has no time in it, and a lock without a time
# could be taken over.
live() {
  clock
  printf "%s\n" "$now $up $boot" > "$base/config/.beat.$$" && mv -f "$base/config/.beat.$$" "$base/config/beat.$1"
}
