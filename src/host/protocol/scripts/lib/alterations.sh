# The file `.deployer_altered` of a release lists the changes of its `afterUnpack` commands: a line with the state and
# the path of each entry that differs from the manifest, and `end` with the number of lines. `only_unknown dir` reads
# faults, and prints those that are not in this list. A path also counts as changed by the commands if they removed an
# entry above it, or made that entry a link. A changed mode of a directory does not count for the paths below it.
# `states` prints the state of each path before the path, with few processes for any number of paths.

state_of() {
  if [ -L "$1" ]; then printf "link:%s" "$(link_of "$1" | tr " " "?")"
  elif [ -d "$1" ]; then printf "dir:%.10s" "$(ls -ld "$1")"
  elif [ -f "$1" ] && [ ! -r "$1" ]; then printf unreadable
  elif [ -f "$1" ]; then printf "%s:%.10s" "$(sum "$1")" "$(ls -ld "$1")"
  elif [ -e "$1" ]; then printf other
  else printf gone
  fi
}
sums_of() { case "$summer" in sha256sum) each sha256sum ;; shasum) each shasum -a 256 ;; openssl) each openssl dgst -sha256 -r ;; esac; }
states() {
  if ! has awk || ! has xargs; then
    while IFS= read -r path; do say "$(state_of "$path") $path"; done
    return
  fi
  kinds=$(while IFS= read -r path; do
    if [ -L "$path" ]; then say "$(state_of "$path") $path"
    elif [ -d "$path" ]; then say "dir $path"
    elif [ -f "$path" ]; then
      # SHA-256 programs escape names with a backslash in different ways.
      case "$path" in *"\\"*) say "$(state_of "$path") $path" ;; *) say "file $path" ;; esac
    else say "$(state_of "$path") $path"
    fi
  done)
  {
    printf "%s\n" "$kinds" | sed -n -e "s/^file //p" -e "s/^dir //p" | each ls -ld
    say ""
    printf "%s\n" "$kinds" | sed -n "s/^file //p" | sums_of
    say ""
    printf "%s\n" "$kinds"
  } | awk '
    part < 2 && $0 == "" { part++; next }
    ! part { at = index($0, " ./"); if (at) mode[substr($0, at + 1)] = substr($0, 1, 10); next }
    part == 1 { at = index($0, "./"); if (at) hash[substr($0, at)] = substr($0, 1, 64); next }
    {
      at = index($0, " "); kind = substr($0, 1, at - 1); path = substr($0, at + 1)
      if (kind == "dir") print "dir:" mode[path] " " path
      else if (kind == "file") print (path in hash ? hash[path] ":" mode[path] : "unreadable") " " path
      else print
    }
  '
}
# shellcheck disable=SC2016 # The dollar signs belong to awk.
only_unknown() (
  cd "$1" && real_file .deployer_altered && [ -r .deployer_altered ] || { cat; exit 0; }
  lines=$(wc -l < .deployer_altered)
  [ "$(tail -n 1 .deployer_altered)" = "end $((lines - 1))" ] && has awk || { cat; exit 0; }
  faults=$(cat)
  [ -n "$faults" ] || exit 0
  above='
    function is_theirs(path, up) {
      if (path in state && is_so(path)) return 1
      for (up = path; sub("/[^/]*$", "", up) && up != "."; )
        if (up in state && index(state[up], "dir:") != 1 && is_so(up)) return 1
      return 0
    }
    FNR == 1 { source++ }
    source == 1 { at = index($0, " "); state[substr($0, at + 1)] = substr($0, 1, at - 1); next }
  '
  now=$(printf "%s\n" "$faults" | awk "$above"'
    function is_so(path) { if (!(path in wanted)) print path; wanted[path]; return 0 }
    { is_theirs("./" substr($0, index($0, " ") + 1)) }
  ' .deployer_altered - | states)
  known=$above'
    # A state that this login could not read, then or now, is unknown and equals no other state.
    function is_so(path) { return current[path] == state[path] && state[path] !~ /^(unreadable$|:)/ }
    ! part { if ($0 == "") part = 1; else { at = index($0, " "); current[substr($0, at + 1)] = substr($0, 1, at - 1) }; next }
    ! ($0 in told) && ! is_theirs("./" substr($0, index($0, " ") + 1))
    { told[$0] }
  '
  {
    [ -z "$now" ] || printf "%s\n" "$now"
    say ""
    printf "%s\n" "$faults"
  } | awk "$known" .deployer_altered -
)
