# Makes a release of the directory in the place of `current`. `ref` and `layout` come from `survey`; an empty `layout`
# only finishes an interrupted adoption. `name` and `record` are those of the release. The script first writes all files
# beside the directory, and makes the link. Then two renames suffice. If the first rename succeeds and the second does
# not, the next command can finish the adoption.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/sync.sh
. ./lib/releases.sh
ref=$2 layout=$3 name=$4 record=$5
mark=.adopting_$ref folder=deployer_$ref link=.current.$$
real_dir "$mark" || fail "there is nothing of an adoption of $ref: begin again"
is_begun "$mark" || fail "deployer did not make $releases/$mark: move it away"
bare() { rmdir "$folder" 2>/dev/null; [ ! -e "$folder" ] && [ ! -L "$folder" ]; }
forget() { left=$(rm -f "$link" 2>&1 && wipe "$mark" 2>&1) || fail "$left"; }
flag=-T
if ! { : > "$mark/a" && mv -T "$mark/a" "$mark/b"; } 2>/dev/null; then flag=; fi
rm -f "$mark/a" "$mark/b"
make_link() { err=$(rm -f "$link" 2>&1 && ln -s "$folder" "$link" 2>&1) || fail "$err"; }
if [ -n "$layout" ]; then
  real_dir current || fail "current is no longer a directory"
  [ -w current ] || fail "$releases/current cannot be written by this user"
  bare || fail "there is $folder already, a release of the same files: move current away and make that one current"
  err=$({ say "$record" | cat > "$mark/record" && say "$entries" | cat > "$mark/entries"; } 2>&1) || fail "$err"
  content=$folder
  if [ "$layout" = whole ]; then
    err=$(mkdir "$folder" 2>&1) || fail "$err"
    content=$folder/$name
  fi
  make_link
  flush
  trap "" HUP INT TERM PIPE
  guard
  # One program for both renames is faster than two. The slash in `current/` makes the rename fail if it is a link.
  if perl -e "rename shift, shift or exit 1; rename shift, shift or exit 1" current/ "$content" "$link" current 2>/dev/null; then :
  elif ! err=$(mv $flag current/ "$content" 2>&1 && mv $flag "$link" current 2>&1); then
    guard
    [ -e current ] || [ -L current ] || mv $flag "$content" current
    bare
    forget
    fail "$err"
  fi
elif [ -L current ]; then
  if bare; then forget; finish; fi
elif bare; then
  forget
  finish
elif [ -e current ]; then
  fail "both $releases/current and $releases/$folder hold something: look which of them is whole, and move the other away"
else
  make_link
  flush
  guard
  err=$(mv $flag "$link" current 2>&1) || fail "$err"
fi
entries=
[ "$(link_of current)" != "$folder" ] || [ ! -s "$mark/entries" ] || entries=$(cat "$mark/entries")
for file in manifest release.json; do
  from=$mark/$file
  [ "$file" = manifest ] || from=$mark/record
  guard
  [ ! -e "$from" ] || err=$(mv -f "$from" "$folder/.deployer_$file" 2>&1) || fail "$err"
done
note
flush
forget
finish
