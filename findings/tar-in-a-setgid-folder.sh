#!/bin/sh
# Who gets the group of a setgid folder when tar unpacks into it?
#
# Guess: every file, with any tar: a new file in a setgid folder gets the group of that folder, and a new folder the bit as well.
# Found: it depends on the program, and on the order of the archive. "tar -xp" sets a folder's mode from the archive (0755), which takes the
# setgid bit away, and files made after that get the user's own group.
# - BusyBox 1.35.0 sets the mode as soon as it makes the folder: every file in it loses the group.
# - GNU tar 1.34 sets it when it leaves the folder: files that come later in the archive, after another folder, lose the group.
# So a release that one tar unpacks is readable by a web server of the folder's group, and the same one unpacked by another is not.
#
# Needs root, and Debian 12 for these versions. Everything happens in a temporary folder.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q busybox-static=1:1.35.0-4+deb12u1+b1 tar=1.34+dfsg-1.2+deb12u1 >/dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" tools; done
gnu=$work/tools/bin/tar
busybox=$work/tools/bin/busybox
"$gnu" --version | sed -n 1p
"$busybox" 2>/dev/null | sed -n 1p

mkdir -p source/one source/two
echo first > source/one/first
echo second > source/one/second
chmod -R u=rwX,go=rX source
# The folder, its first file, another folder, and then the second file.
"$gnu" -C source --no-recursion -cf archive.tar one one/first two one/second

groups() {
  name=$1
  shift
  mkdir "$name"
  chgrp 54321 "$name"
  chmod 2755 "$name"
  (cd "$name" && "$@" -xpof ../archive.tar)
  stat -c '%n %g' "$name"/one/first "$name"/one/second
}
found=$(groups gnu "$gnu"; groups busybox "$busybox" tar)
echo "$found"
expected="gnu/one/first 54321
gnu/one/second 0
busybox/one/first 0
busybox/one/second 0"
[ "$found" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
