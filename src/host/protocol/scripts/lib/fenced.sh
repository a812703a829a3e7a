# For scripts that change something: `$2` is the token of the lock under which they run, 0 without one, `$3` what they
# write into the journal, `$4` whether the lock is given back with that; all are taken off the arguments. `guard`
# refuses when that lock is not the holder's any more; it stands right before whatever cannot be taken back.
# `conclude` ends those that may be a command's last.

. ./lib/lock.sh
. ./lib/give-back.sh
. ./lib/journal.sh
fence=$2
entries=$3
unlocks=$4
first=$1
shift 4
set -- "$first" "$@"
conclude() {
  note
  [ -z "$unlocks" ] || give_back "$fence"
  finish
}
guard() {
  [ "$fence" -eq 0 ] && return 0
  top
  [ "$token" -eq "$fence" ] && [ "$state" = taken ] && return 0
  say "fenced"
  finish
}
guard
