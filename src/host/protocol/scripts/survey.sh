# Writes the manifest of the directory in the place of `current`, as for a release called `name`. `adopt` finds the
# manifest in `.adopting_<REF>/`. The ref is the beginning of the manifest's SHA-256. The manifest omits sockets, pipes
# and devices.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/check.sh
. ./lib/releases.sh
name=$2
[ ! -L current ] && [ -e current ] || fail "there is no directory in the place of current"
if [ ! -d current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
# The name becomes part of a sed program, so it must have no special characters.
case "$name" in "" | [.-]* | *[!A-Za-z0-9._-]*) fail "that is no name of a release" ;; esac
new=$releases/.adopting.$$
err=$(rm -rf "$new" 2>&1 && mkdir "$new" 2>&1) || fail "$err"
abort() { wipe "$new"; fail "$1"; }
layout=whole
[ "$(ls -A current)" = "$name" ] && real_dir "current/$name" && layout=nested
cd current || abort "$releases/current cannot be entered"
odd=$(find . -name "*$nl*" 2>/dev/null | tr "\n" " ")
[ -z "$odd" ] || abort "a path in current has a line break, which a manifest cannot hold: rename it (${odd% })"
bs=$(printf "\134") cr=$(printf "\r")
listed() { find . "$@" > "$new/list" 2> "$new/err" && sort "$new/list" > "$new/sorted" || abort "$(cat "$new/err")"; }
listed -type d
if [ "$layout" = nested ]; then sed -n "s/^[.]./dir &/p" "$new/sorted"; else sed "s/^/dir /" "$new/sorted"; fi > "$new/manifest"
listed -type l
while IFS= read -r path; do
  to=$(link_of "$path")
  case "$to" in *"$nl"*) abort "the link $path in current has a line break in its text, which a manifest cannot hold" ;; esac
  printf "link %s\nto %s\n" "$path" "$to"
done < "$new/sorted" >> "$new/manifest"
listed -type f
files=$(wc -l < "$new/sorted")
# SHA-256 programs escape names with backslashes and carriage returns in different ways.
case "$summer" in
  sha256sum) find . -type f ! -path "*$bs$bs*" ! -path "*$cr*" -exec sha256sum {} + ;;
  shasum) find . -type f ! -path "*$bs$bs*" ! -path "*$cr*" -exec shasum -a 256 {} + ;;
esac > "$new/sums" 2> "$new/err" || abort "$(cat "$new/err")"
while IFS= read -r path; do
  case "$summer $path" in openssl* | *"$bs"* | *"$cr"*) printf "%s  %s\n" "$(sum "$path")" "$path" ;; esac
done < "$new/sorted" >> "$new/sums"
file_lines "$new/sums" | sort -k 2 > "$new/list"
[ "$(wc -l < "$new/list")" -eq "$files" ] || abort "the files in current change while they are read, or cannot be read: try again"
cat "$new/list" >> "$new/manifest"
bytes=$(find . -type f -exec wc -c {} + | {
  total=0
  while read -r size path; do
    case "$path" in ./*) total=$((total + size)) ;; esac
  done
  printf "%s" "$total"
})
cd ..
if [ "$layout" = whole ]; then
  sed -e "s|^dir [.]|dir ./$name|" -e "s|^link [.]|link ./$name|" -e "s|^\([0-9a-f]\{64\}  \)[.]|\1./$name|" "$new/manifest" > "$new/list" &&
    mv "$new/list" "$new/manifest"
fi
lines=$(wc -l < "$new/manifest")
say "end $((lines))" >> "$new/manifest"
digest=$(sum "$new/manifest")
ref=$(printf "%.32s" "$digest" | tr "a-f" "A-F")
is_ref "$ref" || abort "the manifest of current could not be hashed"
guard
there=.adopting_$ref
if [ -e "$there" ] || [ -L "$there" ]; then
  real_dir "$there" && is_begun "$there" || abort "deployer did not make $releases/$there: move it away"
fi
err=$(rm -f "$new/list" "$new/sorted" "$new/sums" "$new/err" 2>&1 && wipe ".adopting_$ref" 2>&1 && mv "$new" ".adopting_$ref" 2>&1) ||
  abort "$err"
say "adoption $ref $digest $layout $((files)) $bytes"
finish
