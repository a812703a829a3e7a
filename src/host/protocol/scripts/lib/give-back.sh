# `give_back` frees the lock with this token, unless it is somebody else's by now.

give_back() {
  top
  [ "$token" -eq "$1" ] && [ "$state" = taken ] || return 0
  { printf "free %s\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$1"; } 2>/dev/null ||
    # On a full disk: a lock that never gave a sign of life is as good as free.
    rm -f "$base/config/.lock.$$" "$base/config/beat.$1"
}
