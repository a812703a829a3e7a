# Sets `state` to the state of the base, and `where` to the path that decided it.

usable() { [ -w "$1" ] && [ -x "$1" ]; }
refuse() { state=not-$1 where=$d; }
look() {
  where=$base
  if [ -d "$base" ]; then
    state=ready
    for d in "$base/config" "$base/releases"; do
      if [ -d "$d" ]; then
        usable "$d" || { refuse writable; return 0; }
      elif [ -e "$d" ] || [ -L "$d" ]; then
        refuse a-directory; return 0
      else
        state=incomplete
      fi
    done
    [ "$state" = ready ] || usable "$base" || state=not-writable
    # This login cannot write to the journal, which belongs to another login.
    d=$base/config/journal
    [ ! -e "$d" ] || [ -w "$d" ] || refuse writable
    return 0
  fi
  while [ ! -e "$where" ] && [ ! -L "$where" ]; do
    where=${where%/*}
    [ -n "$where" ] || where=/
  done
  if [ ! -d "$where" ]; then state=not-a-directory
  elif usable "$where"; then state=absent
  else state=not-writable
  fi
}
