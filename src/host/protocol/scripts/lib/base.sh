# Sets `state` to the state of the base, and `where` to the path that decided it.

gone() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
usable() { [ -w "$1" ] && [ -x "$1" ]; }
refuse() { state=not-$1 where=$d; }
look() {
  where=$base
  if [ -d "$base" ]; then
    state=ready
    for d in "$base/config" "$base/releases"; do
      if [ -d "$d" ]; then
        usable "$d" || { refuse writable; return 0; }
      elif gone "$d"; then
        state=incomplete
      else
        refuse a-directory; return 0
      fi
    done
    [ "$state" = ready ] || usable "$base" || state=not-writable
    # This login cannot write to the journal, which belongs to another login.
    d=$base/config/journal
    [ ! -e "$d" ] || [ -w "$d" ] || refuse writable
    return 0
  fi
  while gone "$where"; do
    where=${where%/*}
    [ -n "$where" ] || where=/
  done
  if [ ! -d "$where" ]; then state=not-a-directory
  elif usable "$where"; then state=absent
  else state=not-writable
  fi
}
