# `give_back` frees the lock with the token `$1`, unless somebody else has it.

give_back() {
  top
  [ "$token" -eq "$1" ] && [ "$state" = taken ] || return 0
  { printf "free %s\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$1"; } 2>/dev/null ||
    # The disk is full. Without a sign of life, everybody can take the lock over.
    rm -f "$base/config/.lock.$$" "$base/config/beat.$1"
}
