#!/bin/sh
# Who waits for whom when BusyBox's timeout runs a program?
#
# Guess: as with GNU's timeout. It starts the program as its child, waits for it, and nothing is left when it has ended.
# Found: with BusyBox 1.35.0 the program takes the place of timeout itself, with its process id, and the clock is a process whose parent is
# process 1. It outlives the program: it looks once a second whether the program is still there. In a container whose first process reaps no
# orphans, each call therefore leaves a zombie. GNU coreutils 9.1 does as guessed.
#
# Everything happens in a temporary folder. Needs Debian 12 on amd64 and its package archive.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get download -qq busybox-static=1:1.35.0-4+deb12u1+b1 coreutils=9.1-1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
busybox=$work/root/bin/busybox
gnu=$work/root/usr/bin/timeout
"$busybox" | head -n 1
"$gnu" --version | head -n 1

# Prints what the program finds about itself and about the clock. "$1" marks the processes, the rest is the timeout to try.
look() {
  mark=$1
  shift
  "$@" 30 sh -c '
    mark=$0
    sleep 0.2
    if [ "$$" = "$(cat '"$work"'/pid)" ]; then echo "the program has the process id of timeout"; else echo "the program is another process than timeout"; fi
    for stat in /proc/[0-9]*/stat; do
      pid=${stat#/proc/} pid=${pid%/stat}
      [ "$pid" != "$$" ] || continue
      words=$(cat "/proc/$pid/cmdline" 2>/dev/null | tr "\0" " ") || continue
      case "$words" in
        *timeout\ 30\ *"$mark"*)
          read -r _ _ _ parent _ < "$stat"
          if [ "$parent" = 1 ]; then echo "the clock has process 1 as its parent"; else echo "the clock has another parent"; fi ;;
      esac
    done
  ' "$mark" &
  echo $! > "$work/pid"
  wait $!
}

found=$(echo busybox; look "mark-a-$$" "$busybox" timeout; echo gnu; look "mark-b-$$" "$gnu")
echo "$found"
expected="busybox
the program has the process id of timeout
the clock has process 1 as its parent
gnu
the program is another process than timeout
the clock has another parent"
[ "$found" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
