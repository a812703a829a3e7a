# Makes the missing folders.

. ./lib/protocol.sh
. ./lib/base.sh
# If the folder has the setgid bit, a team shares the target.
look
[ ! -g "$where" ] || umask 002
err=$(mkdir -p "$base/config" "$base/releases" 2>&1)
made=$?
look
case "$state" in
  ready) finish ;;
  not-a-directory | not-writable) say "unfit $state $where"; finish ;;
esac
[ "$made" -eq 0 ] && err="they are not there after they were made"
case "$err" in
  *"Permission denied"* | *"Read-only file system"* | *"not permitted"*) say "unfit not-writable $base" ;;
  *) fail "$err" ;;
esac
finish
