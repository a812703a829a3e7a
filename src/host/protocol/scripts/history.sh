# Prints the last `count` lines of the journal.

. ./lib/protocol.sh
count=$2
log=$base/config/journal
[ ! -e "$log" ] || [ -r "$log" ] || fail "this login cannot read $log"
[ ! -f "$log" ] || tail -n "$count" "$log" | tr "\000" "?" | sed -e "s/^{.*}$/journal &/" -e t -e "s/.*/torn/"
say ""
finish
