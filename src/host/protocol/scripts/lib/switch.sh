# `switch_to` renames a new link over `current`. `disarm` keeps the host from going back by itself. Both `disarm` and the
# host rename the file of a dead-man's switch, and the first one decides. If that is the host, `disarm` waits until the
# host has gone back.

switch_to() {
  failed=
  err=$(ln -s "$1" "$2" 2>&1) || fail "$err"
  # The next holder of the lock removes the links of earlier holders. So if the lock is lost after this check, either the
  # rename fails, or it happened before the loss.
  [ "$fence" -eq 0 ] || { top; [ "$token" -eq "$fence" ] && [ "$state" = taken ]; } || { rm -f "$2"; say "fenced"; finish; }
  err=$(mv -fT "$2" current 2>&1)
  # Only the link shows whether it was renamed: some mv programs print their help instead, and report success. Without
  # an option, mv renames a link over a link that has the same name in another folder. So the link first gets the name
  # `current` in a folder of its own, which the next holder of the lock removes too.
  if [ -L "$2" ]; then
    aside=$2.d
    mkdir "$aside" 2>/dev/null && mv -f "$2" "$aside/current" 2>/dev/null && {
      mv -f "$aside/current" . 2>/dev/null
      [ ! -L "$aside/current" ] || perl -e "rename shift, shift or exit 1" "$aside/current" current 2>/dev/null
    }
    [ ! -L "$2" ] && [ ! -L "$aside/current" ] || failed=yes
    rm -rf "$2" "$aside"
    [ -z "$failed" ] || fail "neither mv nor perl renamed the link: ${err%%"$nl"*}"
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
      # Going back never takes this long. The machine must have gone down in the middle of it.
      [ "$tries" -le 15 ] || rm -f "$fired"
      sleep 1
    done
  done
}
