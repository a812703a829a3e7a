# Runs a command in the release `ref`, called `name`; an empty `ref` means the current release. The command comes from
# standard input, because every user of the host could read it on a command line. `fence` is the token of the lock under
# which the command runs, or 0 without a lock. If `expect` is `current`, the release has to be current. If `expect` is
# `own`, copies replace the release's hard links first, so that the command cannot change the files of other releases. The
# script answers, and then becomes the command: the command's output follows the answer, and the exit status is the
# command's.

mask=$(umask)
locale=${LC_ALL-}
exec 3<&0 </dev/null
. ./lib/protocol.sh
. ./lib/files.sh
. ./lib/enter-release.sh
. ./lib/releases.sh
. ./lib/lock.sh
. ./lib/current.sh
name=$2 ref=$3 fence=$4 expect=$5
if [ "$fence" -ne 0 ]; then
  top
  [ "$token" -eq "$fence" ] && [ "$state" = taken ] || { say "fenced"; finish; }
fi
[ "$expect" != current ] || is_current "$ref" ||
  fail "deployer_$ref is no longer current: the host went back by itself, or somebody made another release current"
if [ -n "$ref" ]; then folder=deployer_$ref
elif [ -L current ]; then
  folder=$(link_of current)
  is_ref "${folder#deployer_}" || folder=current
elif [ -e current ]; then fail "$releases/current is not a link: move it away and deploy first"
else fail "no release is current there: deploy first"
fi
[ -d "$folder" ] || fail "there is no $releases/$folder: deploy it first"
if [ "$expect" = own ]; then
  err=$(find "$folder" -type f -links +1 2>/dev/null | while IFS= read -r shared; do
    real_file "$shared" || continue
    { cp -p "$shared" "$shared.$$" && mv -f "$shared.$$" "$shared"; } 2>&1 || { rm -f "$shared.$$"; break; }
  done)
  [ -z "$err" ] || fail "files that $folder shares with other releases cannot be copied: $err"
fi
enter_release "$folder" "$name"
say "deployer end"
# The command runs in a function, because the error messages of some shells would otherwise begin with `eval`. bash uses
# `eval` alone, because in a function its messages would begin with `environment`.
# shellcheck disable=SC2016 # The inner shell expands it.
exec sh -c 'command=$(cat <&3); exec 3<&-
[ -z "$BASH_VERSION" ] || { eval "$command"; exit; }
eval "deployer_command() { :; $command
}" && deployer_command'
