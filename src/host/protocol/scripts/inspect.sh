# Tells everything at once.

. ./lib/protocol.sh
. ./lib/lock.sh
. ./lib/files.sh
. ./lib/see.sh
top
[ "$state" = free ] || { idle; say "locked $token $since $details"; }
see
finish
