# `row` reads the figures of the only file system in df's output.

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
