# Whether `current` leads to the release `$1`, with any form of the link.

is_current() {
  [ -L current ] || return 1
  [ "$(link_of current)" = "deployer_$1" ] && return 0
  live=$(cd -P current 2>/dev/null && pwd -P) || return 1
  case "$live/" in "$(pwd -P)/deployer_$1/"*) return 0 ;; esac
  return 1
}
