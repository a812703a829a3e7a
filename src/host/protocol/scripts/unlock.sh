# Frees the lock with the token `expected`, even if somebody else holds it.

. ./lib/protocol.sh
. ./lib/lock.sh
. ./lib/journal.sh
expected=$2 entries=$3
top
[ "$token" -eq "$expected" ] && [ "$state" != free ] || { say "changed"; finish; }
err=$({ printf "free %s\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$expected"; } 2>&1) || fail "$err"
note
finish
