# `sum` prints the SHA-256 of a file. `check dir manifest` prints `missing path` or `changed path` for each difference.
# If the third word is `paths`, `check` reads only the manifest; of the content of files, it notices only that a file is
# empty and should not be. If the third word is the absolute path of a file, `check` hashes only the files in that list.
# One process hashes all files of a manifest if the tool can do that. A shell reads a manifest byte by byte, so awk, if
# there is one, compares the manifest with the output of find (`odd_ones`), including modes if the manifest has them. A
# setgid bit that comes from the folder above is not a difference.

if has sha256sum; then summer=sha256sum
elif has shasum; then summer=shasum
elif has openssl; then summer=openssl
else fail "there is none of sha256sum, shasum and openssl"
fi
each() { tr "\n" "\000" | xargs -0 "$@" 2>/dev/null; }
# Whether the tool can find a wrong hash. Some tools read nothing without an operand, and report success.
checks=no
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
sum() {
  case "$summer" in
    sha256sum) s=$(sha256sum < "$1") ;;
    shasum) s=$(shasum -a 256 < "$1") ;;
    openssl) s=$(openssl dgst -sha256 -r < "$1") ;;
  esac
  printf "%s" "${s%% *}"
}
all_match() {
  case "$summer" in
    sha256sum) sha256sum -c - 2>/dev/null ;;
    shasum) shasum -a 256 -c - 2>/dev/null ;;
    openssl) return 1 ;;
  esac
}
can_refuse() {
  [ "$(sum /dev/null)" = "$empty" ] || fail "$summer does not compute SHA-256 as it should: nothing can be verified"
  ! printf "%064d  /dev/null\n" 0 | all_match >/dev/null
}
can_refuse && checks=yes
# Hashes both halves of the files at once, because most hosts have several cores.
halves_match() {
  file_lines "$1" | awk 'NR % 2' | all_match >/dev/null && say yes &
  file_lines "$1" | awk 'NR % 2 == 0' | all_match >/dev/null && say yes
  wait
}
quickly_match() {
  [ "$checks" = yes ] || return 1
  count=$(file_lines "$1" | wc -l)
  if [ "$((count))" -eq 0 ]; then return 0
  elif [ "$((count))" -gt 50 ] && has awk; then [ "$(halves_match "$1")" = "yes${nl}yes" ]
  else file_lines "$1" | all_match >/dev/null
  fi
}
# Prints the lines of a manifest that have a file's hash, except those of the paths in `skip`. These paths differ already,
# and may be pipes, which a tool would read without end.
skip=
file_lines() {
  if [ -z "$skip" ]; then sed -n "/^[0-9a-f]\{64\}  /p" "$1"
  else
    { printf "%s\n" "$skip"; say ""; sed -n "/^[0-9a-f]\{64\}  /p" "$1"; } | awk '
      part { if (!(substr($0, 67) in skipped)) print; next }
      $0 == "" { part = 1; next }
      { skipped[$0] }
    '
  fi
}
# Prints how a path differs. A path that this login may not look at is unreadable, not missing or changed. If there is a
# second word, only the content of the file is in doubt.
differs() {
  found=yes word=missing above=${1%/*}
  if [ -e "$1" ] || [ -L "$1" ]; then
    word=changed
    if [ -n "${2-}" ] && real_file "$1" && [ ! -r "$1" ]; then word=unreadable; fi
  else
    # A damaged manifest may list a path without a folder.
    while [ ! -d "$above" ]; do case "$above" in */*) above=${above%/*} ;; *) above=. ;; esac; done
    [ -x "$above" ] || word=unreadable
  fi
  [ -r "$above" ] || [ ! -d "$above" ] || word=unreadable
  say "$word ${1#./}"
}
listed() {
  find . -type d | sed "s/^/dir /"
  find . -type f | sed "s/^/file /"
  find . -type l | sed "s/^/link /"
  find . -type f -size 0 | sed "s/^/empty /"
  # shellcheck disable=SC2013 # Each mode is one word.
  for mode in $(sed -n "s/^mode \([0-7]*\)$/\1/p" "$1" | sort -u); do
    find . "(" -type d -o -type f ")" "(" -perm "$mode" -o -perm "2$mode" ")" | sed "s/^/$mode /"
    # In a folder that a team shares, a release's directories are writable for the whole team.
    case "$mode" in
      ?[15]?)
        wide=${mode%??}$((${mode#?} / 10 + 2))${mode#??}
        [ ! -g "$base" ] || find . -type d "(" -perm "$wide" -o -perm "2$wide" ")" | sed "s/^/$mode /" ;;
    esac
  done
}
odd_ones() {
  listed "$1" | awk -v empty="$empty" '
    FNR == 1 { source++ }
    source == 2 {
      at = index($0, " "); word = substr($0, 1, at - 1); path = substr($0, at + 1)
      if (word == "empty") { if (path in sum && sum[path] != empty) type[path] = word }
      else if (type[path] == word) delete type[path]
      else if (mode[path] == word) delete mode[path]
      next
    }
    { whole = 0; lines++ }
    text { text = 0; next }
    /^mode / { now = $2; next }
    /^end / { whole = ($0 == "end " (lines - 1)); next }
    /^link / { path = substr($0, 6); text = 1 }
    /^dir / { path = substr($0, 5) }
    !/^(link|dir) / { files++; path = substr($0, 67) }
    path in type { twice = 1 }
    /^(link|dir) / { type[path] = $1 }
    !/^(link|dir) / && substr($0, 65, 2) == "  " { type[path] = "file"; sum[path] = substr($0, 1, 64) }
    now && !text { mode[path] = now }
    END {
      print (whole && !twice) + 0, files + 0
      for (path in type) if (type[path]) print path
      for (path in mode) if (mode[path] && !type[path]) print path
    }
  ' "$1" -
  sed -n -e "/^link /{" -e p -e n -e p -e "}" "$1" | while IFS= read -r link && IFS= read -r text; do
    link="${link#link }"
    [ ! -L "$link" ] || [ "$(link_of "$link")" = "${text#to }" ] || say "$link"
  done
}
# Sets the modes of the manifest. Some tar programs skip a mode if they assume that the file has it already, although a
# default access list or the umask has changed the file's mode.
put_modes() (
  cd "$1" || exit 0
  of_mode() { sed -n "/^mode $1\$/,/^mode /s/^$2//p" "$3"; }
  modes=$(sed -n "s/^mode \([0-7]*\)$/\1/p" "$2" | sort -u)
  for mode in $modes; do of_mode "$mode" "[0-9a-f]\{64\}  " "$2" | each chmod "$mode"; done
  for mode in $modes; do of_mode "$mode" "dir " "$2" | sort -r | each chmod "$mode"; done
)
check() (
  cd "$1" || { say "missing ."; exit 0; }
  files=0 whole=0 found=no odd=
  # In the output of find, a name with a line break would look like several names.
  if [ -s "$2" ] && has awk && [ -z "$(find . -name "*$nl*" -prune)" ]; then
    odd=$(odd_ones "$2")
    first=${odd%%"$nl"*}
    whole=${first% *} files=${first#* }
    if [ "$odd" != "$first" ]; then
      found=yes
      printf "%s\n" "${odd#*"$nl"}" | sort | while IFS= read -r name; do differs "$name"; done
    fi
  else
    lines=0
    while IFS= read -r line; do
      whole=0
      case "$line" in
        "dir "*) real_dir "${line#dir }" || differs "${line#dir }" ;;
        "link "*)
          link="${line#link }"
          IFS= read -r line
          lines=$((lines + 1))
          [ -L "$link" ] && [ "$(link_of "$link")" = "${line#to }" ] || differs "$link" ;;
        "mode "*) ;;
        "end "*) [ "$lines" = "${line#end }" ] && whole=1 ;;
        *)
          files=$((files + 1))
          real_file "${line#*  }" && { [ -s "${line#*  }" ] || [ "${line%%  *}" = "$empty" ]; } || differs "${line#*  }" ;;
      esac
      lines=$((lines + 1))
    done < "$2"
  fi
  # Nothing may follow the end, and no line may escape the hashing below.
  hashed=$(file_lines "$2" | wc -l)
  [ "$whole" = 1 ] && [ -z "$(tail -c 1 "$2")" ] && [ "$((hashed))" -eq "$files" ] || say "changed .deployer_manifest"
  [ "$files" -gt 0 ] && [ "${3-}" != paths ] || exit 0
  case "${3-}" in /*) hashed=$3 ;; *) hashed=$2 ;; esac
  [ "$found" = no ] || skip=${odd#*"$nl"}
  if [ "$found" = no ] || [ -n "$skip" ]; then
    out=
    if quickly_match "$hashed" || { [ "$checks" = yes ] && out=$(file_lines "$2" | all_match); }; then exit 0; fi
    # SHA-256 programs escape names with backslashes and trailing carriage returns in different ways. So files with such
    # names are hashed one by one.
    names=$(printf "%s\n" "$out" | sed -n "s/: FAILED[^:]*$//p")
    case "$nl$names" in
      "$nl" | *"$nl"[!.]*) ;;
      *)
        changed=$(printf "%s\n" "$names" | while IFS= read -r name; do
          if real_file "$name"; then differs "$name" content; fi
        done)
        if [ -n "$changed" ]; then say "$changed"; exit 0; fi ;;
    esac
  fi
  file_lines "$2" | while IFS= read -r line; do
    name="${line#*  }"
    if real_file "$name" && [ "$(sum "$name" 2>/dev/null)" != "${line%%  *}" ]; then differs "$name" content; fi
  done
  exit 0
)
