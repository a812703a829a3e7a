#!/bin/sh
# sshd_config has two lines with the same keyword. Which line counts for MaxStartups, PerSourceMaxStartups, PerSourceNetBlockSize and IPQoS?
#
# Guess: the first line. The manual says that the first value counts unless the text about a keyword says otherwise, and the texts about these four do
# not. For that reason, distributions include sshd_config.d/*.conf at the top of the file.
# Found: with OpenSSH 9.2p1, the last line counts for these four keywords. So a later line overrides a limit in an included file. For the similar
# keywords MaxSessions, ClientAliveInterval and RekeyLimit, the first line counts.
#
# All files are in a temporary folder. The script needs Debian 12 on amd64, its package archive, and ssh-keygen.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq openssh-server=1:9.2p1-2+deb12u10 openssh-client=1:9.2p1-2+deb12u10 libwrap0=7.6.q-32 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
sshd=$work/root/usr/sbin/sshd
LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
"$sshd" -V 2>&1 | head -n 1
"$work/root/usr/bin/ssh-keygen" -q -t ed25519 -N "" -f key

# Prints the value that counts if the keyword `$1` has two lines, with the values `$2` and `$3`.
counts() {
  printf 'HostKey %s\n%s %s\n%s %s\n' "$work/key" "$1" "$2" "$1" "$3" > config
  "$sshd" -T -f config | sed -n "s/^$(echo "$1" | tr 'A-Z' 'a-z') //p"
}
result=$(
  for keyword in MaxStartups PerSourceMaxStartups PerSourceNetBlockSize MaxSessions ClientAliveInterval; do
    printf '%s %s\n' "$keyword" "$(counts "$keyword" 2 9)"
  done
  printf 'IPQoS %s\n' "$(counts IPQoS lowdelay throughput)"
  printf 'RekeyLimit %s\n' "$(counts RekeyLimit 1G 2G)"
)
printf '%s\n' "$result"
[ "$result" = "MaxStartups 9:30:9
PerSourceMaxStartups 9
PerSourceNetBlockSize 9:0
MaxSessions 2
ClientAliveInterval 2
IPQoS throughput throughput
RekeyLimit 1073741824 0" ] || { echo "changed"; exit 1; }
echo "as found: the last line counts for MaxStartups, PerSourceMaxStartups, PerSourceNetBlockSize and IPQoS"
