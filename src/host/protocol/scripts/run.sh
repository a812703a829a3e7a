# Runs `command` in the release `ref`, called `name`; an empty `ref` means the current release. Answers first, then
# becomes the command: the command's output follows the answer, and the exit status is the command's.

mask=$(umask)
locale=${LC_ALL-}
. ./lib/protocol.sh
. ./lib/files.sh
. ./lib/enter-release.sh
. ./lib/releases.sh
name=$2 ref=$3 command=$4
if [ -n "$ref" ]; then folder=deployer_$ref
elif [ -L current ]; then
  folder=$(link_of current)
  is_ref "${folder#deployer_}" || folder=current
elif [ -e current ]; then fail "$releases/current is not a link: move it away and deploy first"
else fail "no release is current there: deploy first"
fi
[ -d "$folder" ] || fail "there is no $releases/$folder: deploy it first"
enter_release "$folder" "$name"
say "deployer end"
exec sh -c "$command" </dev/null
