# Disarms the dead-man's switch `id`, unless it has fired. Repeated calls give the same answer.

. ./lib/protocol.sh
. ./lib/journal.sh
id=$2 entries=$3
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
