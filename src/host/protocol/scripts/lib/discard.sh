# `drop` moves the folder `$1` aside and removes it. It does nothing if the release `$2` is current, or has just become
# current.

. ./lib/aside.sh
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
