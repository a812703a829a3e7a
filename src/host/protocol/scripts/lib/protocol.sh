# For hosts on which sh is bash: with this option, the operands of dd would become variables.
# shellcheck disable=SC3041 # Only a shell that has the option reaches this.
case $- in *k*) set +k ;; esac
export LC_ALL=C
unset CDPATH
set +aefuvxC
# shellcheck disable=SC3044 # For hosts on which sh is bash: the environment may set options of bash.
shopt -u failglob nullglob nocasematch 2>/dev/null
umask 022
nl="
"
say() { printf "%s\n" "$*"; }
finish() { say "deployer end"; exit 0; }
flat() { case "$1" in *"$nl"*) printf "%s" "$1" | tr "\n" " " ;; *) printf "%s" "$1" ;; esac; }
fail() { say "fail $(flat "$1")"; finish; }
say ""
say "deployer begin"
case "$1" in
  /*) base=$1 ;;
  *) [ -n "$HOME" ] || fail "the login has no home: write the path out"
     # shellcheck disable=SC2088 # The tilde is part of the text.
     case "$1" in "~/"*) base=${HOME%/}/${1#"~/"} ;; *) base=${HOME%/}/$1 ;; esac ;;
esac
case "$base" in *"$nl"*) fail "the name of the home has a line break" ;; esac
# shellcheck disable=SC2034 # Nearly all scripts read it.
releases=$base/releases
# A folder with the setgid bit belongs to a team.
[ ! -g "$base" ] || umask 002
has() { command -v "$1" >/dev/null 2>&1; }
