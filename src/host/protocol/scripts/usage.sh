# Prints the disk usage of releases. Their refs are the last arguments.

. ./lib/protocol.sh
. ./lib/environment.sh
. ./lib/releases.sh
shift
for ref; do
  [ -d "deployer_$ref" ] || continue
  used=$(du -sk "deployer_$ref" 2>/dev/null)
  used=${used%%[!0-9]*}
  say "usage $ref ${used:-0}"
done
finish
