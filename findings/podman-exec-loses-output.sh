#!/bin/sh
# What does podman exec --interactive return if the program prints a line and ends without reading its input?
#
# Guess: the line and the program's exit status, as docker exec and ssh do. The input that nobody reads is thrown away.
# Found: with podman 4.3.1 and conmon 2.1.6 now and then (36 of 100 runs) nothing is printed at all, nothing is
# said on stderr, and the status is that of the program: an empty answer that looks like a success. It never happens if the program reads its
# input to the end, if the input is empty, or without --interactive.
#
# Everything happens in a temporary folder. Needs root, Debian 12 on amd64 and its package archive.
set -eu
work=$(mktemp -d)
podman() {
  CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu \
    "$work/root/usr/bin/podman" "$@"
}
trap 'podman rm --force --time 0 probe >/dev/null 2>&1 || :; rm -rf "$work" || :' EXIT
cd "$work"
chmod 755 "$work"
apt-get download -qq podman=4.3.1+ds1-8+deb12u1+b3 conmon=2.1.6+ds1-1 runc=1.1.5+ds1-1+deb12u1 libgpgme11=1.18.0-3+deb12u1 \
  libassuan0=2.5.5-5 libdevmapper1.02.1=2:1.02.185-2 libsubid4=1:4.13+dfsg1-1+deb12u2 libseccomp2=2.5.4-1+deb12u1 \
  busybox-static=1:1.35.0-4+deb12u1+b1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
mkdir -p tree/bin tree/proc tree/dev tree/sys tree/etc tree/tmp
cp root/bin/busybox tree/bin/busybox
ln -s busybox tree/bin/sh
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$work" "$work" > storage.conf
printf '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nconmon_path = ["%s"]\n[engine.runtimes]\nrunc = ["%s"]\n' \
  "$work/root/usr/bin/conmon" "$work/root/usr/sbin/runc" > containers.conf
podman --version
"$work/root/usr/bin/conmon" --version | head -n 1
podman run --detach --name probe --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --rootfs "$work/tree" \
  /bin/sh -c 'while :; do /bin/busybox sleep 1; done' >/dev/null

# Runs a command line 100 times with a line of input, and prints how often its output was lost without an error.
lost() {
  count=0
  for _ in $(seq 100); do
    status=0
    out=$(echo input | "$@" 2>"$work/err") || status=$?
    if [ "$out" != answer ] && [ "$status" -eq 0 ] && [ ! -s "$work/err" ]; then count=$((count + 1)); fi
  done
  echo "$count"
}
unread=$(lost podman exec --interactive probe /bin/sh -c 'echo answer')
read=$(lost podman exec --interactive probe /bin/sh -c '/bin/busybox cat >/dev/null; echo answer')
alone=$(lost podman exec probe /bin/sh -c 'echo answer')
echo "lost of 100: $unread if the input is not read, $read if it is read, $alone without --interactive"
[ "$unread" -gt 0 ] && [ "$read" -eq 0 ] && [ "$alone" -eq 0 ] || { echo "this has changed"; exit 1; }
