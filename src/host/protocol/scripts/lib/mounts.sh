# Reads /proc/mounts. `mount_of` sets `mounted` to the type and options of the file system with the directory `$1`. It
# does not use df, because on BusyBox df names any mount of the same disk.

# Prints a path of /proc/mounts, in which a backslash and three digits stand for blanks and similar characters. printf
# needs a zero before the three digits.
unescaped() { printf "%b" "$(say "$1" | sed "s/[\\]/&0/g")"; }
mount_of() {
  point= mounted=
  [ -r /proc/mounts ] && inside=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  while IFS=" " read -r _ folder type options _; do
    case "$folder" in *\\*) folder=$(unescaped "$folder") ;; esac
    # The slash is inside the quotes, because in bash 5.2 an empty "${folder%/}" before a pattern matches nothing.
    case "${inside%/}/" in "${folder%/}/"*) [ "${#folder}" -ge "${#point}" ] || continue ;; *) continue ;; esac
    point=$folder
    mode=rw exec="exec"
    case ",$options," in *,ro,*) mode=ro ;; esac
    case ",$options," in *,noexec,*) exec=noexec ;; esac
    # shellcheck disable=SC2034 # lib/see.sh reads it.
    mounted="$type $mode $exec"
  done < /proc/mounts
}
# Prints the first mount point below the directory `$1`. Files below a mount point must not be removed.
mounted_in() {
  [ -r /proc/mounts ] && above=$(cd -P "$1" 2>/dev/null && pwd -P) || return 1
  while IFS=" " read -r _ point _; do
    case "$point" in *\\*) point=$(unescaped "$point") ;; esac
    case "$point" in "$above"/*) printf "%s" "$point"; return 0 ;; esac
  done < /proc/mounts
  return 1
}
