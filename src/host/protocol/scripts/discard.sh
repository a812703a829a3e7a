# Removes the remains of an unfinished deployment of `ref`. `kind` is `upload`, `release` or `damaged`.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/current.sh
. ./lib/discard.sh
. ./lib/releases.sh
ref=$2 kind=$3
if [ "$kind" = upload ]; then
  if [ -e ".staging_$ref" ] || [ -L ".staging_$ref" ]; then
    real_dir ".staging_$ref" && is_begun ".staging_$ref" || fail "deployer did not make $releases/.staging_$ref: move it away"
    err=$(mv ".staging_$ref" ".trash_${ref}_$$" 2>&1) || fail "$err"
    wipe_aside ".trash_${ref}_$$"
  fi
elif [ -d "deployer_$ref" ]; then
  [ "$kind" = release ] && [ -e "deployer_$ref/.deployer_release.json" ] && fail "deployer_$ref is already complete"
  [ -e ".adopting_$ref" ] && fail "deployer_$ref is being adopted"
  is_ours "deployer_$ref" || fail "deployer did not make deployer_$ref"
  is_current "$ref" && fail "deployer_$ref is current"
  drop "deployer_$ref" "$ref"
fi
finish
