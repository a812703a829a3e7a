# Receives a release from standard input, unpacks it as it arrives, checks it, and gives it its name.
#
# The upload continues after the first `keep` bytes of an earlier upload. `size` is the total number of bytes; if `size`
# is empty, the last entry of the archive is `.deployer_end`. `stream` is a word that identifies the stream. `wanted` is
# the SHA-256 of the manifest, which is the archive's first entry.
#
# If `origin` is not empty, that release supplies the files that are not sent, as hard links if `hard` is not empty.
# `edits` are the changes to its manifest. If `edits` is empty, they are an entry of the archive. `packing` is gzip or
# zstd. If `replaces` is not empty, the release replaces a damaged one, even the current one.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/files.sh
. ./lib/current.sh
. ./lib/check.sh
. ./lib/assemble.sh
. ./lib/sync.sh
. ./lib/aside.sh
. ./lib/releases.sh
ref=$2 keep=$3 size=$4 stream=$5 note=$6 wanted=$7 origin=$8 hard=$9 edits=${10} packing=${11} replaces=${12}
stage=.staging_$ref
folder=deployer_$ref
# A stream with an `origin` is compressed again for each upload, to suit the speed of the link. So the host keeps such a
# stream uncompressed.
part=$stage/release.tar
[ -n "$origin" ] || part=$part.gz
# A program has not failed if a broken pipe ends it.
unpack() {
  { case "$1" in zstd) zstd -dcq ;; *) gzip -dc ;; esac; }
  ended=$?
  case "$1 $ended" in
    *" 0" | *" 141" | *" 269") ;;
    zstd*) say "failed gzip" >&2 ;;
    *) [ "$ended" -gt 128 ] || say "failed gzip" >&2 ;;
  esac
}
tells_full() {
  case "$1" in *": No space left on device"* | *": Disk quota exceeded"* | *": Quota exceeded"*) ;; *) return 1 ;; esac
}
receive() {
  if [ -n "$origin" ]; then cat "$part" && hush && unpack "$packing" | tee -a "$part"
  else cat "$part" && hush && tee -a "$part"
  fi || say "failed tee" >&2
}
# While the script reads the kept bytes again, it takes no input. Signs of life tell the sender to wait.
ticker=
tick() { while sleep 2 >/dev/null 2>&1; do say "alive"; done; }
hush() { [ -z "$ticker" ] || kill "$ticker" 2>/dev/null; return 0; }
trap hush EXIT
# Each step has its own tree, because an earlier step whose connection is gone may still write to its tree.
tree=$stage/tree.$$ notes=$stage/tree.$$.notes
is_ours "$folder" || fail "$releases/$folder is there, and deployer did not make it: move it away"
if [ -z "$replaces" ] && { [ -e "$folder" ] || [ -L "$folder" ]; }; then
  [ -e "$folder/.deployer_release.json" ] && fail "$folder is complete already"
  is_current "$ref" && fail "$folder is current, though it is not complete"
  err=$(wipe "$folder" 2>&1) || fail "$err"
fi
not_mounted() {
  point=$(mounted_in "$folder") || return 0
  fail "$point is mounted in $folder, which the release is to replace: unmount it first"
}
not_mounted
if [ -e "$stage" ] || [ -L "$stage" ]; then
  real_dir "$stage" && is_begun "$stage" || fail "$releases/$stage is there, and deployer did not make it: move it away"
fi
for old in "$stage"/tree*; do
  [ -e "$old" ] || [ -L "$old" ] || continue
  trash=.trash_${ref}_$$_${old##*tree}
  err=$(mv "$old" "$trash" 2>&1) || fail "$err"
  # The next lock sweeps any remains.
  wipe_surely "$trash" 2>/dev/null
done
# The upload may contain secrets: nobody else may read it before its modes are set. A default access list would replace the
# umask.
err=$({ [ -d "$stage" ] || mkdir -m 700 "$stage"; } 2>&1) && err=$(mkdir "$tree" "$notes" 2>&1) || fail "$err"
err=$({ say "$note" | cat > "$stage/note" && : > "$notes/receiving"; } 2>&1) || fail "$err"
if [ "$keep" -eq 0 ]; then
  rm -f "$stage/release.tar" "$stage/release.tar.gz"
  err=$({ : > "$part"; } 2>&1) || fail "$err"
else
  tick </dev/null &
  ticker=$!
  real_file "$part" || fail "the earlier upload is gone: start again"
  have=$(size_of "$part")
  [ "$have" -ge "$keep" ] || fail "only $have of the $keep bytes to keep are there: start again"
  # The kept bytes go into a new file, because an earlier step may still write to the old one until it notices that its
  # connection is gone.
  err=$({ cat "$part" > "$part.$$" && dd if=/dev/null of="$part.$$" bs=1 seek="$keep" count=0 && mv -f "$part.$$" "$part"; } 2>&1) || {
    rm -f "$part.$$"
    fail "$err"
  }
  have=$(size_of "$part")
  [ "$have" -eq "$keep" ] || fail "only $have of the $keep bytes to keep could be copied: is the disk full?"
fi
err=$({ say "$stream" | cat > "$stage/stream"; } 2>&1) || fail "$err"
if [ -n "$edits" ]; then err=$({ say "$edits" | cat > "$tree/.deployer_edits" && : > "$tree/.deployer_begin"; } 2>&1) || fail "$err"; fi
[ -z "$origin" ] || begin_tree "$origin" "$hard" </dev/null >"$notes/said" 2>&1 &
why=$(
  {
    receive | { if [ -n "$origin" ]; then cat; else unpack gzip; fi; } |
      if (cd "$tree" && tar -xpof -); then cat > /dev/null; else say "failed tar" >&2; fi
  } 2>&1 >/dev/null
)
rm -f "$notes/receiving"
have=$(size_of "$part")
said=$(printf "%s\n" "$why" | sed "/^failed /d")
case "$nl$why$nl" in
  *"${nl}failed gzip$nl"*) outcome=broken ;;
  *"${nl}failed "*) outcome=failed ;;
  *) outcome=whole ;;
esac
[ -n "$size" ] || [ "$outcome" = failed ] || [ -e "$tree/.deployer_end" ] || outcome=broken
# The kept bytes may be the reason for the failure, so no later upload continues after them.
[ -z "$origin" ] || [ "$keep" -eq 0 ] || [ "$outcome" != failed ] || tells_full "$said" || outcome=damaged
[ "$outcome" = whole ] || rm -f "$notes"/lot.*
hush
wait
case "$nl$why$nl" in
  *"${nl}failed tee$nl"*) ;;
  *)
    if [ -n "$size" ] && [ "$have" -ne "$size" ]; then
      guard
      wipe "$tree"
      fail "$have of $size bytes arrived"
    fi ;;
esac
if [ "$outcome" = failed ]; then
  guard
  wipe "$tree"
  fail "$said"
fi
if [ "$outcome" != whole ]; then
  guard
  # If the size is unknown, a later upload may still send the missing end.
  if [ -n "$size" ] || [ "$outcome" = damaged ]; then wipe "$stage"; else wipe "$tree"; fi
  say "corrupt tarball"
  finish
fi
[ -z "$origin" ] || said=$(cat "$notes/said"; complete_tree "$hard" 2>&1)
find_unproved
if [ "$(sum "$tree/.deployer_manifest" 2>/dev/null)" = "$wanted" ]; then
  # Without awk, the check does not compare modes, so they are set first.
  has awk || ! has xargs || put_modes "$tree" .deployer_manifest
  faults=$(check "$tree" "$PWD/$tree/.deployer_manifest" "$hashed")
  if [ -n "$faults" ] && has awk && has xargs; then
    put_modes "$tree" .deployer_manifest
    faults=$(check "$tree" "$PWD/$tree/.deployer_manifest" "$hashed")
  fi
else faults="changed .deployer_manifest"
fi
if [ -n "$faults" ]; then
  guard
  # The faults come from the full disk, so the upload is kept.
  if tells_full "$said"; then
    wipe "$tree"
    fail "$said"
  fi
  wipe "$stage"
  printf "%s\n" "$faults" | sed -n "1,50s/^[a-z]* /corrupt /p"
  finish
fi
own_tree
if [ -g "$base" ]; then
  # Every member of the group has to be able to remove the release.
  find "$tree" -type d -perm -0010 ! -perm -0020 -print | each chmod g+w
fi
chmod u+rwx "$tree"
guard
# Between these two renames, the folder is missing for a moment. If this script is interrupted there, the next holder of
# the lock renames the old folder back.
trash=.replaced_${ref}_$$
if [ -e "$folder" ] || [ -L "$folder" ]; then
  # The old folder may be the current release, so the new one has to be on the disk first.
  flush
  not_mounted
  guard
  err=$(mv "$folder" "$trash" 2>&1) || fail "$err"
fi
err=$(mv "$tree" "$folder" 2>&1) || { mv "$trash" "$folder" 2>/dev/null; fail "$err"; }
[ -f "$folder/.deployer_manifest" ] || fail "$folder is not what was unpacked"
note
wipe_surely "$stage" 2>/dev/null
# If this script is interrupted after the rename, the next holder of the lock removes the folder.
if [ -e "$trash" ] && mv "$trash" ".trash_${ref}_$$"; then wipe_aside ".trash_${ref}_$$"; fi 2>/dev/null
finish
