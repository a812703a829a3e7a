# The journal only grows. `config/facts` holds the decisive entries of the journal's beginning, as `compact` selected
# them. The first line of `config/facts` has the number of bytes in that beginning, the SHA-256 of its last 4096 bytes,
# and the SHA-256 of the lines that follow. A file that does not match the journal is ignored. `tell_journal` prints
# these entries and the rest of the journal. If the rest is long, it prints `long` instead of the rest.

digest() {
  { sha256sum || openssl dgst -sha256 -r || shasum -a 256; } 2>/dev/null | { read -r sum _ && echo "$sum"; }
}
end_digest() { tail -c +"$(($1 > 4096 ? $1 - 4095 : 1))" "$log" | head -c "$(($1 > 4096 ? 4096 : $1))" | digest; }
# A crash may leave NUL bytes in the journal, which tools read in different ways.
from_byte() { tail -c +"$(($1 + 1))" "$log" | tr "\000" "?"; }
open_journal() {
  log=$base/config/journal facts=$base/config/facts from=0 length=0
  [ -f "$log" ] || return 1
  [ -r "$log" ] || fail "this login cannot read $log"
  length=$(size_of "$log")
  real_file "$facts" && read -r word upto sums 2>/dev/null < "$facts" && [ "$word" = facts1 ] && [ "$upto" -le "$length" ] 2>/dev/null || return 0
  [ "${#sums}" -eq 129 ] && [ "$(end_digest "$upto") $(sed 1d "$facts" | digest)" = "$sums" ] || return 0
  from=$upto
}
tell_rest() { from_byte "$1" | sed -e "s/^{.*}$/journal &/" -e t -e "s/.*/torn/"; }
tell_journal() {
  open_journal || return 0
  if [ "$((length - from))" -gt 65536 ]; then say "long"; return 0; fi
  [ "$from" -eq 0 ] || sed -e 1d -e "s/^/fact /" "$facts"
  tell_rest "$from"
  say ""
}
