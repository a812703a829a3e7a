# Completes a tree with files of the release `$1`, which has most of them. `begin_tree` makes the manifest from the
# release's manifest and the edits, copies the files that are equal in both manifests, and verifies them. It runs in
# parallel with the upload, as soon as `.deployer_begin` shows that its input has arrived. It ends with this shell, or
# when the upload ends. `complete_tree` makes the files that combine parts of another file with sent pieces (`patch`),
# and copies the files that exist elsewhere on the host. If `$2` is not empty, hard links replace copies. The check that
# follows reports failures.

# `cp -p` would copy the access list too. A release has the access lists that its folder gives to new files, as if it was
# sent whole. Without `-p`, cp applies the umask to the modes.
copying=-p
case "$(cp --help 2>&1)" in *--preserve*) copying=--preserve=timestamps ;; esac
own=$copying
part() {
  if [ "$bytes" = yes ]; then err=$(dd if="$base" bs=65536 iflag=skip_bytes,count_bytes skip="$1" ${2:+count="$2"} 2>&1 >> "$to")
  else err=$(dd if="$base" bs="$block" skip="$3" ${4:+count="$4"} 2>&1 >> "$to")
  fi || say "$err" >&2
}
patch() {
  # Not every dd has these flags. Without them, dd needs small blocks, which take longer.
  bytes=yes
  dd if=/dev/null of=/dev/null bs=1 count=0 iflag=skip_bytes,count_bytes 2>/dev/null || bytes=no
  while IFS= read -r line; do
    case "$line" in
      "base "*)
        base=${line#base }
        real_file "$base" || base=/dev/null ;;
      "block "*) block=${line#block } ;;
      "to "*) to=$tree/${line#to } ;;
      "add "*) cat "$tree/.deployer_pieces/${line#add }" >> "$to" ;;
      "mode "*) chmod "${line#mode }" "$to" ;;
      "time "*) touch -r "$tree/.deployer_pieces/${line#time }" "$to" ;;
      "keep "*)
        # shellcheck disable=SC2086 # Two numbers.
        set -- ${line#keep }
        part "$(($1 * block))" "$(($2 * block))" "$1" "$2" ;;
      "rest "*)
        set -- "${line#rest }"
        part "$(($1 * block))" "" "$1" "" ;;
    esac
  done
}
put_all() {
  [ "$#" -eq 0 ] || cp $copying "$@" "$tree/$into"
}
source_of() {
  case "$1" in tree/*) source=$tree/${1#tree/} ;; *) source=$1 ;; esac
}
copy_lot() {
  if [ -z "$parents" ]; then (cd "$origin" && tr "\n" "\000" < "$1" | xargs -0 tar -cf -) | (cd "$tree" && tar -xpof -)
  else
    # shellcheck disable=SC2086 # Options, each a word.
    (umask 0; cd "$origin" && tr "\n" "\000" < "$1" | xargs -0 cp $parents -t "$here/$tree") && return
    (cd "$origin" && tar -cf - -T "$1") | (cd "$tree" && tar -xpof -)
  fi
  # Not every cp makes hard links together with their directories.
  [ -z "$links" ] || (cd "$origin" && while IFS= read -r file; do ln -f "$file" "$here/$tree/$file" || exit 0; done) < "$1"
}
begin_tree() {
  polls=0
  until [ -e "$tree/.deployer_begin" ]; do
    if [ ! -e "$notes/receiving" ]; then
      [ -e "$tree/.deployer_begin" ] && break
      return 0
    fi
    polls=$((polls + 1))
    if [ "$polls" -gt 4000 ] || ! kill -0 $$ 2>/dev/null; then return 0; fi
    if [ "$polls" -gt 400 ] || ! sleep 0.05 2>/dev/null; then sleep 1; fi
  done
  origin=deployer_$1 links=$2 parents="$copying --reflink=auto --parents" most=250
  # If the tree is moved away meanwhile, the cp of BusyBox would make its directory again. So tar copies there: it enters
  # the directory first, and each lot is small enough for one tar. Old versions of BusyBox make no directories for hard
  # links, and give tar no lists of names.
  case "${2:+hard} $(cp --help 2>&1)" in hard*BusyBox*--parents*) ;; *BusyBox*) parents= most=100 ;; esac
  [ -z "$2" ] || [ -z "$parents" ] || parents="-pl --parents"
  # The copy makes directories with their modes before the received files arrive. A read-only directory would refuse
  # these files, so nothing is copied then.
  odd=$(find "$origin" -type d ! -perm -0300 | sed -n 1p)
  [ -z "$odd" ] || [ -w "$odd" ] || return 0
  awk '
    FNR == 1 { file++ }
    file == 1 { line[FNR] = $0; next }
    /^=/ { for (n = substr($1, 2) + 0; n <= $2 + 0; n++) print line[n]; next }
    { print substr($0, 2) }
  ' "$origin/.deployer_manifest" "$tree/.deployer_edits" > "$tree/.deployer_manifest"
  # Paths that commands have changed in the release, and paths below them, are sent and not copied.
  awk -v altered="$origin/.deployer_altered" '
    BEGIN { while ((getline line < altered) > 0) other[substr(line, index(line, " ") + 1)] }
    function is_other(path) {
      do { if (path in other) return 1 } while (sub("/[^/]*$", "", path))
      return 0
    }
    FNR == 1 { file++; mode = 0 }
    /^mode / { mode = $2; next }
    /^(dir|link|to|end) / || substr($0, 65, 2) != "  " || ! mode { next }
    file == 1 { if (!is_other(substr($0, 67))) there[mode $0]; next }
    (mode $0) in there
  ' "$origin/.deployer_manifest" "$tree/.deployer_manifest" > "$notes/lines"
  here=$PWD
  # Keeps only paths that are still files, because the content of a pipe or a device may never end.
  (cd "$origin" && while IFS= read -r line; do if real_file "${line#*  }"; then say "$line"; fi; done) < "$notes/lines" > "$notes/files"
  mv "$notes/files" "$notes/lines"
  [ -s "$notes/lines" ] || return 0
  awk -v most="$most" -v lot="$notes/lot." '
    { now = lot int((NR - 1) / most); if (now != last) close(last); print substr($0, 67) > now; last = now }
  ' "$notes/lines"
  for lot in "$notes"/lot.*; do
    # The main shell removes the lots to stop this loop.
    [ -e "$lot" ] || return 0
    copy_lot "$here/$lot"
  done
  if (cd "$tree" && quickly_match "$here/$notes/lines"); then mv "$notes/lines" "$notes/proved"; fi
}
complete_tree() (
  umask 0
  [ -z "$1" ] || copying=-pl
  [ ! -e "$tree/.deployer_patches" ] || patch < "$tree/.deployer_patches"
  (
    set -- && into=
    while IFS= read -r line; do
      case "$line" in
        "into "*) put_all "$@"; set --; into=${line#into } ;;
        "take "*)
          source_of "${line#take }"
          real_file "$source" || continue
          set -- "$@" "$source"
          [ "$#" -lt 500 ] || { put_all "$@"; set --; } ;;
        "copy "*) source_of "${line#copy }" ;;
        # The file is copied even with `$1`, because its mode is about to change.
        "own "*) put_all "$@"; set --; if real_file "$source"; then cp $own "$source" "$tree/${line#own }"; fi ;;
        "as "*) put_all "$@"; set --; if real_file "$source"; then cp $copying "$source" "$tree/${line#as }"; fi ;;
        "mode "*) mode=${line#mode } ;;
        "of "*) chmod "$mode" "$tree/${line#of }" ;;
      esac
    done < "$tree/.deployer_moves"
    put_all "$@"
  )
  (cd "$tree" && rm -rf .deployer_edits .deployer_begin .deployer_moves .deployer_patches .deployer_pieces .deployer_end)
)
# Gives the tree to this login, and to the group of a shared folder. Copies may have the owner or the group of other
# files, and some tools give new files the group of their folder, and others do not. A hard link that has another owner
# becomes a copy first, because older releases keep theirs.
own_tree() {
  owner=$(id -u) group=$(id -g)
  for shared in "$base" "$releases"; do
    [ ! -g "$shared" ] || group=$(group_of "$shared")
  done
  [ -z "$hard" ] || find "$tree" -type f "(" ! -user "$owner" -o ! -group "$group" ")" | while IFS= read -r file; do
    cp -p "$file" "$notes/files" && mv -f "$notes/files" "$file"
  done
  find "$tree" "(" ! -user "$owner" -o ! -group "$group" ")" -exec chown -h "$owner:$group" {} + 2>/dev/null
}
# Sets `hashed` to a list of the lines that are not verified yet. Not every awk reports a full disk, so the lines are
# counted.
find_unproved() {
  hashed=
  [ -e "$notes/proved" ] || return 0
  awk 'FNR == 1 { file++ } file == 1 { proved[$0]; next } ! ($0 in proved)' "$notes/proved" "$tree/.deployer_manifest" > "$notes/rest"
  proved=$(file_lines "$notes/proved" | wc -l) rest=$(file_lines "$notes/rest" | wc -l) all=$(file_lines "$tree/.deployer_manifest" | wc -l)
  [ "$((proved + rest))" -ne "$((all))" ] || hashed=$PWD/$notes/rest
}
