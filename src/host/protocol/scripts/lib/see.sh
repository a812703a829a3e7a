# `see` prints the host's whole state, except the lock. Call it in a subshell, because it changes the directory.

. ./lib/base.sh
. ./lib/disks.sh
. ./lib/mounts.sh
. ./lib/chronicle.sh
readable() { real_file "$1" && [ -r "$1" ]; }
first() { line=; readable "$1" && IFS= read -r line < "$1"; printf "%s" "$line"; }
bad() { say "damaged $ref it is $1"; }
see() {
look
say "path $base"
say "base $state $where"
[ -d "$releases" ] && where=$releases
user=$(id -un 2>/dev/null) && say "user $user"
clock=$(date +%s) && say "clock $clock"
row "$({ df -Pk "$where" || df -k "$where"; } 2>/dev/null)" && say "free $available"
inodes "$where" && say "inodes $available"
mount_of "$where"
[ -z "$mounted" ] || say "mounted $mounted $(flat "$point")"
for loader in /lib*/ld-*.so.* /lib*/ld64.so.* /lib/*/ld-linux*.so.*; do
  [ ! -e "$loader" ] || say "loader $(flat "$loader")"
done
say "machine $(uname -m)"
has awk && has xargs && say "can differences"
has zstd && say "can zstd"
for tool in tar gzip dd tr; do has "$tool" || say "lacks $tool"; done
has sha256sum || has shasum || has openssl || say "lacks sha256"
cd "$releases" 2>/dev/null || { say "current absent"; return 0; }
if [ -L current ]; then
  say "current link $(flat "$(link_of current)")"
  [ -e current ] || say dangling
  # The link may lead to a release by a text that is not deployer's, or to a folder in a release.
  led=$(cd -P current 2>/dev/null && pwd -P) && led=${led#"$(pwd -P)/deployer_"} && ref=${led%%/*} && is_ref "$ref" && say "leads $led"
elif [ -d current ]; then say "current directory"
elif [ -e current ]; then say "current file"
else say "current absent"
fi
for armed in "$base"/config/armed.*; do
  [ -f "$armed" ] || continue
  ref= back= deadline= restore=
  read -r ref back deadline restore < "$armed"
  case "$deadline" in "" | *[!0-9]*) continue ;; esac
  say "armed ${armed##*/armed.} $ref $back $((deadline - clock)) $restore"
done
tell_journal
big=$(find . -maxdepth 2 -name ".deployer_r*" -size +128 2>/dev/null)
for folder in deployer_*; do
  ref=${folder#deployer_}
  is_ref "$ref" || continue
  real_dir "$folder" || { say "foreign $ref"; continue; }
  file=$folder/.deployer_release.json
  if gone "$file"; then
    # A folder without a manifest belongs to somebody else. A folder that is being adopted is not an unfinished deployment.
    file=unrecorded
    [ -e "$folder/.deployer_manifest" ] || file=foreign
    [ -d ".adopting_$ref" ] || say "$file $ref"
    continue
  fi
  case "$nl$big$nl" in *"$nl./$file$nl"*) bad "too large"; continue ;; esac
  readable "$file" || { bad "unreadable"; continue; }
  if { IFS= read -r record && ! IFS= read -r more && [ -z "$more" ]; } < "$file"; then say "release $ref $record"
  elif [ -z "$record" ]; then bad "empty"
  else bad "not one line"
  fi
done
for folder in .staging_* .adopting_*; do
  ref=${folder#*_}
  is_ref "$ref" && real_dir "$folder" && is_begun "$folder" || continue
  case "$folder" in .a*) say "adopting $ref"; continue ;; esac
  received=0
  note=$(first "$folder/note") stream=$(first "$folder/stream")
  part=$folder/release.tar
  case "$stream" in "" | whole) part=$part.gz ;; esac
  readable "$part" && received=$(size_of "$part")
  say "upload $ref $received ${stream:--} $note"
done
}
