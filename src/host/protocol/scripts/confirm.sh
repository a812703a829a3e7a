# Disarms the dead-man's switch `id`, unless it has fired. A repeated call gives the same answer. The release `expect`
# has to be current.

. ./lib/protocol.sh
. ./lib/journal.sh
. ./lib/files.sh
. ./lib/current.sh
id=$2 entries=$3 expect=$4
if [ -e "$base/config/armed.$id" ]; then
  cd "$releases" 2>/dev/null && is_current "$expect" ||
    fail "deployer_$expect is no longer current: somebody made another release current"
fi
if [ -e "$base/config/confirmed.$id" ]; then say "confirmed"
elif mv "$base/config/armed.$id" "$base/config/confirmed.$id" 2>/dev/null; then
  note
  say "confirmed"
elif [ -e "$base/config/confirmed.$id" ]; then say "confirmed"
else
  tries=0
  while [ -e "$base/config/fired.$id" ] && [ "$tries" -lt 15 ]; do
    tries=$((tries + 1))
    sleep 1
  done
  say "fired"
fi
finish
