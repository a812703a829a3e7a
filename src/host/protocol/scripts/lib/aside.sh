# `wipe_aside` removes a folder that was moved aside. If this login may not remove its files, because they belong to
# another user or are immutable, `set_aside` reports them once, and gives the folder a name that later steps ignore. `clear` can remove
# this folder.

odd_in() { find "$1" ! -user "$(id -u)" 2>/dev/null | sed -n 1p; }
kibibytes() {
  used=$(du -sk "$1" 2>/dev/null)
  used=${used%%[!0-9]*}
  printf "%s" "${used:-0}"
}
set_aside() {
  rest=${1##*/}
  aside=$releases/.stuck_${rest#.*_}
  mv "$1" "$aside" 2>/dev/null || aside=$releases/$rest
  odd=$(odd_in "$aside")
  owner=-
  [ -z "$odd" ] || owner=$(owner_of "$odd")
  say "stuck $(kibibytes "$aside") $(flat "$owner $aside")"
}
wipe_aside() {
  wipe "$1" 2>/dev/null && return 0
  # An earlier step whose connection is gone may still write to the folder.
  [ -n "$(odd_in "$1")" ] || { wipe_surely "$1" 2>/dev/null && return 0; }
  set_aside "$1"
}
