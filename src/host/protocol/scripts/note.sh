# Appends entries to the journal that belong to no other step. If `expect` is a ref, that release has to be current, so
# that the journal gets no verdict on a release after somebody has switched to another one.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/current.sh
expect=$2
if [ -n "$expect" ]; then
  cd "$releases" 2>/dev/null && is_current "$expect" ||
    fail "deployer_$expect is no longer current: somebody made another release current"
fi
conclude
