# `link_of` prints a link's text. `is_ref` recognizes a ref. `wipe` removes trees, even with read-only folders.

. ./lib/mounts.sh

link_of() {
  if has readlink; then readlink "$1"
  else line=$(ls -ld "$1"); printf "%s\n" "${line#* -> }"
  fi
}
# shellcheck disable=SC2046 # The third word that ls prints is the owner, and the fourth is the group.
owner_of() { set -- $(ls -ld "$1" 2>/dev/null); printf "%s" "${3:-somebody}"; }
# The slash makes ls show the folder, even if the path leads to it through a link.
# shellcheck disable=SC2046 # The fourth word is the group.
group_of() { set -- $(ls -ldn "$1/"); printf "%s" "$4"; }
is_ref() {
  [ "${#1}" -eq 32 ] || return 1
  case "$1" in *[!0-9A-F]*) return 1 ;; esac
}
# Somebody else may have made a folder with a name of deployer's. A folder is deployer's own if it holds only files that
# deployer puts into such a folder. A folder that was moved aside, or its rest, may also hold one directory.
# shellcheck disable=SC2012 # No name of deployer's has a line break.
is_begun() { [ -z "$(ls -A "$1" | sed "/^note$/d;/^stream$/d;/^release.tar/d;/^tree/d;/^manifest$/d;/^record$/d;/^entries$/d;/^[ab]$/d")" ]; }
is_remnant() {
  # shellcheck disable=SC2012 # No name of deployer's has a line break.
  rest=$(ls -A "$1" 2>/dev/null | sed "/^[.]deployer_/d;/^note$/d;/^stream$/d;/^release[.]tar/d;/^tree/d
/^receiving$/d;/^said$/d;/^lot[.][0-9]*$/d;/^lines$/d;/^files$/d;/^proved$/d;/^rest$/d")
  case "$rest" in *"$nl"*) return 1 ;; esac
  [ -z "$rest" ] || real_dir "$1/$rest"
}
# A name of trash has a process id after the ref. If the trash is the tree of an upload, the process id and the word of
# that tree follow.
is_trash_name() {
  rest=${1##*.trash_}
  is_ref "${rest%%_*}" || return 1
  rest=${rest#????????????????????????????????_}
  rest=${rest%.notes}
  case "${rest%%_*}" in "" | *[!0-9]*) return 1 ;; esac
  case "$rest" in *_*) rest=${rest#*_} && rest=${rest#.} ;; esac
  case "$rest" in *[!0-9]*) return 1 ;; esac
}
is_trash() { is_trash_name "$1" && real_dir "$1" && is_remnant "$1"; }
# Each release of deployer's has a manifest before it gets its name.
is_ours() {
  if real_dir "$1"; then [ -e "$1/.deployer_manifest" ] || [ -e "$1/.deployer_release.json" ]
  else [ ! -e "$1" ] && [ ! -L "$1" ]
  fi
}
real_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
real_file() { [ -f "$1" ] && [ ! -L "$1" ]; }
wipe() {
  mounted_in "$1" >/dev/null && return 1
  # Changes only the modes of folders, because a file may also belong to other releases.
  rm -rf "$1" 2>/dev/null || { find "$1" -type d ! -perm -700 -exec chmod u+rwx {} ";" 2>/dev/null; rm -rf "$1"; }
}
# Removes a folder to which an earlier step whose connection is gone may still write. Tries again, until that step has
# noticed that its connection is gone.
wipe_surely() {
  for pause in 1 2; do
    wipe "$1" 2>/dev/null && return 0
    sleep "$pause"
  done
  wipe "$1"
}
size_of() { n=$(wc -c < "$1") && echo "$((n))"; }
