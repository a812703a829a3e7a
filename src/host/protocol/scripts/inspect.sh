# Prints the host's whole state.

. ./lib/protocol.sh
. ./lib/lock.sh
. ./lib/files.sh
. ./lib/see.sh
top
[ "$state" = free ] || { idle; say "locked $token $since $details"; }
see
finish
