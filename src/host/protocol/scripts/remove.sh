# Removes complete releases; their refs are the last arguments. The entries are saved first. If this script is
# interrupted, the next holder of the lock adds the releases that are gone to the journal.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/current.sh
. ./lib/discard.sh
. ./lib/releases.sh
shift
for ref; do
  is_current "$ref" && fail "deployer_$ref is current"
  for armed in "$base"/config/armed.*; do
    [ -e "$armed" ] || continue
    read -r _ back _ < "$armed"
    [ "$back" = "$ref" ] && fail "the host may go back to deployer_$ref by itself"
  done
done
# An earlier removal could not be written to the journal.
left=
[ ! -s "$base/config/removing" ] || left=$(only_gone < "$base/config/removing")
[ -z "$left" ] || entries=$left$nl$entries
if [ -n "$entries" ]; then
  err=$({ say "$entries" > "$base/config/.removing.$$" && mv -f "$base/config/.removing.$$" "$base/config/removing"; } 2>&1) || fail "$err"
fi
used=
for ref; do
  if point=$(mounted_in "deployer_$ref"); then
    used="$point is mounted in deployer_$ref, and its files would be removed too: unmount it first"
  elif [ -e "deployer_$ref" ] || [ -L "deployer_$ref" ]; then drop "deployer_$ref" "$ref"
  fi
done
for trash in .trash_*; do
  if is_trash "$trash"; then wipe_aside "$trash"; fi
done
[ -z "$used" ] || entries=$(printf "%s\n" "$entries" | only_gone)
# A line that cannot be written now is left for the next holder of the lock.
if note; then rm -f "$base/config/removing"; fi
[ -z "$used" ] || fail "$used"
entries=
conclude
