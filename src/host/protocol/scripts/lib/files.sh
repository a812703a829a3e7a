# `link_of` prints a link's text. `is_ref` recognizes a ref. `wipe` removes trees, even with read-only folders.

. ./lib/mounts.sh

link_of() {
  if has readlink; then readlink "$1"
  else line=$(ls -ld "$1"); printf "%s\n" "${line#* -> }"
  fi
}
# shellcheck disable=SC2046 # Of the words that ls prints, the third is the owner, and the fourth the group.
owner_of() { set -- $(ls -ld "$1" 2>/dev/null); printf "%s" "${3:-somebody}"; }
# shellcheck disable=SC2046
group_of() { set -- $(ls -ldn "$1"); printf "%s" "$4"; }
is_ref() {
  [ "${#1}" -eq 32 ] || return 1
  case "$1" in *[!0-9A-F]*) return 1 ;; esac
}
is_trash() { trash_ref=${1##*.trash_} && is_ref "${trash_ref%%_*}"; }
# Each of our releases has a manifest before it gets its name.
is_ours() {
  if real_dir "$1"; then [ -e "$1/.deployer_manifest" ] || [ -e "$1/.deployer_release.json" ]
  else [ ! -e "$1" ] && [ ! -L "$1" ]
  fi
}
real_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
real_file() { [ -f "$1" ] && [ ! -L "$1" ]; }
wipe() {
  mounted_in "$1" >/dev/null && return 1
  # Changes the modes of folders only: a file may have names in other releases.
  rm -rf "$1" 2>/dev/null || { find "$1" -type d ! -perm -700 -exec chmod u+rwx {} ";" 2>/dev/null; rm -rf "$1"; }
}
# For a folder in which an earlier step, whose connection is gone, may still write: tries again until that step has
# noticed.
wipe_surely() {
  for pause in 1 2; do
    wipe "$1" 2>/dev/null && return 0
    sleep "$pause"
  done
  wipe "$1"
}
size_of() { n=$(wc -c < "$1") && printf "%s" "$((n))"; }
