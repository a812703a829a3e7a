# What /proc/mounts says. `mount_of` finds out how the directory `$1` is mounted. It does not use df, which on BusyBox
# names any mount of the same disk.

# A path of /proc/mounts, which writes blanks and the like as a backslash and three digits. printf wants a zero before
# them: in `\0401` it would take all four digits for one character, and not a blank and a 1.
unescaped() { printf "%b" "$(say "$1" | sed "s/[\\]/&0/g")"; }
mount_of() {
  point= mounted=
  [ -r /proc/mounts ] && inside=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  while IFS=" " read -r _ folder type options _; do
    case "$folder" in *\\*) folder=$(unescaped "$folder") ;; esac
    # The slash within the quotes: bash 5.2 matches nothing with an empty "${folder%/}" before a pattern.
    case "${inside%/}/" in "${folder%/}/"*) [ "${#folder}" -ge "${#point}" ] || continue ;; *) continue ;; esac
    point=$folder
    mode=rw exec="exec"
    case ",$options," in *,ro,*) mode=ro ;; esac
    case ",$options," in *,noexec,*) exec=noexec ;; esac
    # shellcheck disable=SC2034 # lib/see.sh reads it.
    mounted="$type $mode $exec"
  done < /proc/mounts
}
# The first mount point below a directory: the files there are somebody else's, and must not be removed.
mounted_in() {
  [ -r /proc/mounts ] && above=$(cd -P "$1" 2>/dev/null && pwd -P) || return 1
  while IFS=" " read -r _ point _; do
    case "$point" in *\\*) point=$(unescaped "$point") ;; esac
    case "$point" in "$above"/*) printf "%s" "$point"; return 0 ;; esac
  done < /proc/mounts
  return 1
}
