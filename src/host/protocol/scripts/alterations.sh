# Records the paths that commands have changed in the release `ref` since it was unpacked, and prints them.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/check.sh
. ./lib/alterations.sh
. ./lib/releases.sh
ref=$2
folder=deployer_$ref
real_dir "$folder" && real_file "$folder/.deployer_manifest" || fail "$releases/$folder/.deployer_manifest is gone"
faults=$(check "$folder" "$PWD/$folder/.deployer_manifest")
cd "$folder" || fail "$releases/$folder cannot be entered"
case "$nl$faults$nl" in *" .deployer_manifest$nl"*) fail "$releases/$folder/.deployer_manifest is not what it was" ;; esac
guard
if [ -z "$faults" ]; then
  err=$(rm -f .deployer_altered 2>&1) || fail "$err"
  finish
fi
new=.deployer_altered.$$
list() {
  printf "%s\n" "$faults" | sed "s/^[a-z]* /.\//" | states
  lines=$(printf "%s\n" "$faults" | wc -l)
  say "end $((lines))"
}
err=$({ list > "$new" && mv -f "$new" .deployer_altered; } 2>&1) || { rm -f "$new"; fail "$err"; }
printf "%s\n" "$faults" | sed "s/^[a-z]* /altered /"
finish
