#!/bin/sh
# An SSH server has opened a session channel, and no command runs in it yet. How many bytes may the client send?
#
# Guess: about 2 MB, which is OpenSSH's usual window. A small server has a smaller window. So a client can send the input of a command in the same
# round trip as the request to start the command.
# Found: OpenSSH 9.2p1 opens a session with a window of 0, and enlarges the window only when the command runs. So the first input costs a round trip of
# its own. Dropbear 2022.83 grants 24 kB at once.
#
# All files are in a temporary folder. The script needs root, Node, npm, unshare, Debian 12 on amd64 and its package archive. Connections stay on the
# loopback, except those to the package archives.
set -eu
work=$(mktemp -d)
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || :; done; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq openssh-server=1:9.2p1-2+deb12u10 libwrap0=7.6.q-32 dropbear-bin=2022.83-1+deb12u3 libtomcrypt1=1.18.2-6 \
  libtommath1=1.2.0-6+deb12u1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
npm install --silent --no-audit --no-fund --ignore-scripts --prefix client ssh2@1.17.0 >/dev/null
LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
"$work/root/usr/sbin/sshd" -V 2>&1 | head -n 1
"$work/root/usr/sbin/dropbear" -V 2>&1 | head -n 1

# Each server runs in a mount namespace of its own, with our authorized_keys, and with the user to which sshd drops its privileges.
mkdir -p keys run
chmod 700 keys
{ grep -v '^sshd:' /etc/passwd; echo "sshd:x:65533:65533::/run/sshd:/bin/false"; } > passwd
node -e '
  const { utils } = require("./client/node_modules/ssh2")
  const { private: key, public: half } = utils.generateKeyPairSync("ed25519")
  const host = utils.generateKeyPairSync("ed25519")
  const fs = require("fs")
  fs.writeFileSync("key", key, { mode: 0o600 })
  fs.writeFileSync("host", host.private, { mode: 0o600 })
  fs.writeFileSync("keys/authorized_keys", `${half}\n`, { mode: 0o600 })'
printf 'HostKey %s\nAuthorizedKeysFile %s\nPermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\n' "$work/host" "$work/keys/authorized_keys" > config
"$work/root/usr/bin/dropbearkey" -t ed25519 -f dropbear_key >/dev/null 2>&1
mkdir -p /root/.ssh
inside() {
  unshare --mount sh -c 'mount --bind passwd /etc/passwd && mount --bind keys /root/.ssh && mkdir -p /run/sshd && exec "$@"' sh "$@" >/dev/null 2>&1 &
  pids="$pids $!"
}
inside "$work/root/usr/sbin/sshd" -D -f "$work/config" -o ListenAddress=127.0.0.1 -p 24871
inside "$work/root/usr/sbin/dropbear" -F -E -p 127.0.0.1:24872 -r "$work/dropbear_key"
sleep 1

window() {
  node -e '
    const { Client } = require("./client/node_modules/ssh2")
    const client = new Client()
    client.on("ready", () => client.exec("cat", () => client.end()))
    client.on("error", (error) => console.log(error.message))
    client.connect({
      host: "127.0.0.1", port: Number(process.argv[1]), username: "root", privateKey: require("fs").readFileSync("key")
    })
    const protocol = require("./client/node_modules/ssh2/lib/protocol/Protocol.js")
    const exec = protocol.prototype.exec
    protocol.prototype.exec = function (id, ...rest) {
      const channel = Object.values(client._chanMgr._channels).find((one) => one.outgoing?.id === id)
      console.log(channel.outgoing.window)
      return exec.call(this, id, ...rest)
    }' "$1" 2>/dev/null
}
openssh=$(window 24871)
dropbear=$(window 24872)
echo "OpenSSH: $openssh bytes, Dropbear: $dropbear bytes"
[ "$openssh" = 0 ] && [ "$dropbear" = 24576 ] || { echo "changed"; exit 1; }
echo "as found: OpenSSH grants no byte before a command runs"
