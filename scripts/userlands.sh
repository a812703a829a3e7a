#!/bin/sh
# Unpacks the userlands of other Debian releases into a folder, and prints each as a line: a title, "=" and a PATH. Needs Debian on amd64.
# scripts/userlands.sh FOLDER [TITLE…]
set -eu
work=$1
shift
titles=$(for title; do printf '%s\n' "$title"; done)
wanted() { [ -z "$titles" ] || printf '%s\n' "$titles" | grep -qxF "$1"; }

# shellcheck source=scripts/debian.sh
. "$(dirname "$0")/debian.sh"

# Puts a program into a userland under a name. It starts with its own loader, because this machine's C library may be older.
# start_with_loader NAME LINK WORD…
start_with_loader() {
  at=$work/$1 link=$2
  shift 2
  loader=$(find "$at/root" -name "ld-linux-x86-64.so.2" | sed -n 1p)
  libraries=$(find "$at/root" -type d -name x86_64-linux-gnu | tr '\n' ':')
  printf '#!/bin/sh\nexec %s --library-path %s%s "$@"\n' "$loader" "$libraries" "$(printf ' %s' "$@")" > "$at/bin/$link"
  chmod 755 "$at/bin/$link"
}
from_here() {
  at=$work/$1
  shift
  for name; do ln -sf "$(command -v "$name")" "$at/bin/$name"; done
}

# busybox TITLE RELEASE
busybox() {
  if ! wanted "$1"; then return; fi
  unpack "$2" "busybox-$2" busybox-static
  program=$(find "$work/busybox-$2/root" -path "*/bin/busybox" -type f | sed -n 1p)
  for applet in $("$program" --list); do ln -s "$program" "$work/busybox-$2/bin/$applet"; done
  echo "$1=$work/busybox-$2/bin"
}
# gnu TITLE RELEASE
gnu() {
  if ! wanted "$1"; then return; fi
  unpack "$2" "gnu-$2" coreutils findutils tar gzip sed grep mawk dash procps
  for program in "$work/gnu-$2"/root/bin/* "$work/gnu-$2"/root/usr/bin/*; do
    if [ -f "$program" ] && [ ! -L "$program" ] && [ "$(head -c 4 "$program" | tail -c 3)" = ELF ]; then
      start_with_loader "gnu-$2" "${program##*/}" "$program"
    fi
  done
  ln -s dash "$work/gnu-$2/bin/sh"
  ln -s mawk "$work/gnu-$2/bin/awk"
  from_here "gnu-$2" perl
  echo "$1=$work/gnu-$2/bin"
}
# uutils TITLE RELEASE
uutils() {
  if ! wanted "$1"; then return; fi
  unpack "$2" "uutils-$2" rust-coreutils
  program=$(find "$work/uutils-$2/root" -path "*/bin/coreutils" -type f | sed -n 1p)
  start_with_loader "uutils-$2" coreutils "$program"
  for name in $("$work/uutils-$2/bin/coreutils" --list | grep -v "^\[$"); do
    start_with_loader "uutils-$2" "$name" "$program" "$name"
  done
  from_here "uutils-$2" sh tar gzip find sed awk xargs grep ps perl
  echo "$1=$work/uutils-$2/bin"
}

busybox "BusyBox 1.30.1 (Debian 11)" bullseye
busybox "BusyBox 1.37 (Debian 13)" trixie
gnu "coreutils 8.32 (Debian 11)" bullseye
gnu "coreutils 9.7 (Debian 13)" trixie
uutils "uutils 0.0.30 (Debian 13)" trixie
gnu "coreutils of Debian sid" sid
uutils "uutils of Debian sid" sid
busybox "BusyBox of Debian sid" sid
