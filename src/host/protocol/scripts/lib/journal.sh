# `note` appends `entries`, which are whole lines, to the journal, after the change that they describe. If that fails,
# the change stays, the answer reports the failure, and the script continues.

# Selects the journal entries of releases that do not exist.
only_gone() {
  while IFS= read -r line; do
    ref=${line#*",\"ref\":\""}
    ref=${ref%%"\""*}
    if is_ref "$ref" && [ ! -e "$releases/deployer_$ref" ]; then say "$line"; fi
  done
}
note() {
  [ -n "$entries" ] || return 0
  log=$base/config/journal torn=
  # Opening a pipe may take for ever, and a device keeps nothing.
  if [ -e "$log" ] && [ ! -f "$log" ]; then
    say "unnoted $log is not a file: move it away"
    return 1
  fi
  # A crash may have left NUL bytes at the end of the journal.
  [ ! -s "$log" ] || [ "$(($(tail -c 1 "$log" 2>/dev/null | wc -l)))" -eq 1 ] || torn=$nl
  err=$({ printf "%s%s\n" "$torn" "$entries" >> "$log"; } 2>&1) || { say "unnoted $(flat "$err")"; return 1; }
  chmod o= "$log" 2>/dev/null
  return 0
}
