# Removes the link. If `restore` is not empty, the link gets that text again instead.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/switch.sh
. ./lib/releases.sh
restore=$2
if [ ! -L current ] && [ -e current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
disarm ""
if [ -n "$restore" ]; then
  rm -f ".current.$$"
  switch_to "$restore" ".current.$$"
elif [ -L current ]; then
  guard
  err=$(rm -f current 2>&1) || fail "$err"
fi
note
finish
