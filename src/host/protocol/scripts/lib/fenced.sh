# For scripts that change something. `$2` is the token of the lock under which they run, 0 without one. `$3` holds their
# entries for the journal. `$4` says whether they also give the lock back. These three are removed from the arguments.
# `guard` refuses if the lock has been lost; it comes right before each change that cannot be undone. `conclude` ends
# the scripts that may be a command's last.

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
