# `switch_to` renames a new link over `current`. `disarm` keeps the host from going back by itself. The first to rename
# the file of a dead-man's switch decides. If that was the host, `disarm` waits until it has gone back.

switch_to() {
  err=$(ln -s "$1" "$2" 2>&1) || fail "$err"
  # The next holder of the lock removes the links of earlier ones. So after this check the rename fails, or was in time.
  [ "$fence" -eq 0 ] || { top; [ "$token" -eq "$fence" ] && [ "$state" = taken ]; } || { rm -f "$2"; say "fenced"; finish; }
  if ! err=$(mv -fT "$2" current 2>&1); then
    if [ -L current ]; then
      mv -fh "$2" current 2>/dev/null || perl -e "rename shift, shift or exit 1" "$2" current 2>/dev/null
    else
      err=$(mv -f "$2" current 2>&1)
    fi || { rm -f "$2"; fail "$err"; }
  fi
  [ "$(link_of current)" = "$1" ] || fail "the link leads to $(link_of current) now"
}
disarm() {
  for armed in "$base"/config/armed.*; do
    case "${armed##*/armed.}" in *[!0-9.]*) continue ;; esac
    [ -e "$armed" ] && [ "$armed" != "$base/config/armed.$1" ] || continue
    mv "$armed" "$base/config/.disarmed.$$" 2>/dev/null && rm -f "$base/config/.disarmed.$$"
  done
  await_fired
}
await_fired() {
  tries=0
  for fired in "$base"/config/fired.*; do
    case "${fired##*/fired.}" in *[!0-9.]*) continue ;; esac
    while [ -e "$fired" ]; do
      tries=$((tries + 1))
      # Going back never takes this long: the machine went down in the middle of it.
      [ "$tries" -le 15 ] || rm -f "$fired"
      sleep 1
    done
  done
}
