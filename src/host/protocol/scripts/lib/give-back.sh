# `give_back` frees the lock with the token `$1`, unless it is somebody else's.

give_back() {
  top
  [ "$token" -eq "$1" ] && [ "$state" = taken ] || return 0
  { printf "free %s\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$1"; } 2>/dev/null ||
    # On a full disk: a lock without any sign of life is as good as free.
    rm -f "$base/config/.lock.$$" "$base/config/beat.$1"
}
