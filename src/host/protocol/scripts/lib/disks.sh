# `row` reads the figures of the only file system in df's output. `mount_of` finds out how the directory `$1` is
# mounted. It does not use df, which on BusyBox names any mount of the same disk.

row() {
  total= used= available= share=
  set -f
  for word in ${1#*"$nl"}; do
    case "$word" in [0-9]*%) share=$word; break ;; esac
    total=$used used=$available available=$word
  done
  set +f
  [ -n "$share" ]
}
mount_of() {
  point= mounted=
  [ -r /proc/mounts ] && inside=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  while IFS=" " read -r _ folder type options _; do
    case "$folder" in *[!-A-Za-z0-9/._]*) folder=$(printf "%b" "$folder") ;; esac
    case "${inside%/}/" in "${folder%/}"/*) [ "${#folder}" -ge "${#point}" ] || continue ;; *) continue ;; esac
    point=$folder
    case ",$options," in *,ro,*) mounted="$type ro" ;; *) mounted="$type rw" ;; esac
    case ",$options," in *,noexec,*) exec=noexec ;; *) exec="exec" ;; esac
    mounted="$mounted $exec"
  done < /proc/mounts
}
