# `drop` moves the folder `$1` aside and removes it, unless the release `$2` is, or meanwhile became, current.
# `wipe_aside` removes a folder that was moved aside. Files that this login may not remove (those of another user) are
# reported once. Their folder gets another name, so that they cost later steps no time. `remover` is the target's
# command for such files, or empty.

wipe_aside() {
  wipe "$1" 2>/dev/null && return 0
  if [ -n "$remover" ]; then
    sh -c "$remover \"\$1\"" remover "$PWD/$1" >/dev/null 2>&1
    [ -e "$1" ] || return 0
  fi
  odd=$(find "$1" ! -user "$(id -u)" 2>/dev/null | sed -n 1p)
  # An earlier step, whose connection is gone, may still write there.
  [ -n "$odd" ] || { wipe_surely "$1" 2>/dev/null && return 0; }
  aside=.stuck_${1#.trash_}
  mv "$1" "$aside" 2>/dev/null || aside=$1
  odd=$(find "$aside" ! -user "$(id -u)" 2>/dev/null | sed -n 1p)
  say "stuck $(flat "$(owner_of "${odd:-$aside}") $releases/$aside")"
}
unmounted() {
  point=$(mounted_in "$1") || return 0
  fail "$point is mounted in $1, and its files would be removed too: unmount it first"
}
drop() {
  guard
  unmounted "$1"
  trash=.trash_$2_$$
  err=$(mv "$1" "$trash" 2>&1) || fail "$err"
  if is_current "$2"; then
    mv "$trash" "$1"
    fail "$1 is current"
  fi
  wipe_aside "$trash"
}
