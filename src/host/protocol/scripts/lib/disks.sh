# `row` reads the figures of the only file system in df's output, and `inodes` those of its inodes.

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
# Reads the figures of the inodes of the file system with the directory `$1`. Some file systems make inodes on demand, and
# do not count them. Some systems print other columns.
inodes() {
  row "$(df -Pi "$1" 2>/dev/null | sed -n "/ Inodes /,\$p")" && [ "$total" -gt 0 ] 2>/dev/null
}
