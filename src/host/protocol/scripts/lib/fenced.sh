# The beginning of each script that changes something. `$2` is the token of the lock under which the script runs, or 0
# without a lock. `$3` holds its entries for the journal. If `$4` is not empty, the script also gives the lock back. These
# three are removed from the arguments. `guard` ends the script if the lock is lost; call it right before each change that
# cannot be undone. `conclude` ends a script that may be the last one of a command.

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
