# Selects the decisive entries of the journal, keeps them in `config/facts`, and prints them and the rest of the
# journal. The script needs no lock, because the facts depend only on the beginning of the journal, which never changes.
# The facts omit the last line, which may be incomplete.

. ./lib/protocol.sh
. ./lib/environment.sh
. ./lib/files.sh
. ./lib/chronicle.sh
for old in "$base"/config/.facts.*; do
  pid=${old##*/.facts.}
  pid=${pid%.all}
  case "$pid" in *[!0-9]*) ;; *) kill -0 "$pid" 2>/dev/null || [ -e "/proc/$pid" ] || rm -f "$old" ;; esac
done
open_journal || finish
select_facts() {
  {
    [ "$from" -eq 0 ] || sed 1d "$facts"
    say tail
    from_byte "$from" | head -c "$((length - from))"
  } | awk -f ./lib/select.awk
}
if has awk; then
  new=$base/config/.facts.$$
  if { selected=$(umask 077; select_facts > "$new"); } 2>/dev/null; then
    upto=$(sed -n -e "1s/^upto //p" -e q "$new")
    upto=$((from + upto))
    real_file "$facts" || rm -rf "$facts"
    # Like the journal, the file is not for other users.
    mask=027
    [ ! -g "$base" ] || mask=007
    (umask "$mask"; say "facts1 $upto $(end_digest "$upto") $(sed 1d "$new" | digest)" > "$new.all") &&
      sed 1d "$new" >> "$new.all" && chmod o= "$new.all" && mv -f "$new.all" "$facts"
    sed -e 1d -e "s/^/fact /" "$new"
  else
    # This login cannot write the file, so it only prints.
    selected=$(select_facts)
    upto=${selected%%"$nl"*}
    upto=$((from + ${upto#upto }))
    printf "%s\n" "$selected" | sed -e 1d -e "s/^/fact /"
  fi
  rm -f "$new" "$new.all" 2>/dev/null
  tell_rest "$upto"
else
  tell_rest 0
fi
say ""
finish
