/**
 * The POSIX scripts behind each step of a host session. Each is one `sh` run, finds the target's path as `$1`, and answers in
 * lines of which the first word says what they are, between `deployer begin` and `deployer end`; reply.ts reads them.
 *
 * They run on dash, bash and BusyBox ash, with GNU, BusyBox or BSD tools. They hold no single quote, and no backslash before a quote or
 * another backslash, so that fish takes them as one word too. No value that is printed may hold a line break.
 */

import { JournalEvent, journalGrammar, longestEntry } from "../domain/Journal.ts"

/** A function of the scripts, as these write them: from its name at the beginning of a line to its brace at the beginning of one. */
const definition = /^([a-z_]+)\(\) (?:[{(].*[})]|[{(]\n(?:(?![})]$).*\n)*[})])\n/gm

/** Leaves out functions that nothing calls: scripts share theirs, and each needs only some. */
const withoutUnused = (text: string): string => {
  const less = text.replaceAll(definition, (whole, name: string) =>
    text.split(new RegExp(`\\b${name}\\b`)).length > 2 ? whole : ""
  )
  return less === text ? text : withoutUnused(less)
}

/** As it travels: without what is for readers, and without what it does not need. */
const script = (text: string): string =>
  withoutUnused(text)
    .split("\n")
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("# "))
    .map((line) => `${line}\n`)
    .join("")

/** Ends each answer: one without it was cut. */
export const replyEnd = "deployer end"
/** Begins each answer: what a login shell prints of its own comes before it. */
export const replyBegin = "deployer begin"

const prelude = `
LC_ALL=C
export LC_ALL
unset CDPATH
set +efuC
shopt -u failglob nullglob nocasematch 2>/dev/null
umask 022
nl="
"
say() { printf "%s\\n" "$*"; }
finish() { say "${replyEnd}"; exit 0; }
flat() { case "$1" in *"$nl"*) printf "%s" "$1" | tr "\\n" " " ;; *) printf "%s" "$1" ;; esac; }
fail() { say "fail $(flat "$1")"; finish; }
say ""
say "${replyBegin}"
case "$1" in
  /*) base=$1 ;;
  *) [ -n "\${HOME:-}" ] || fail "the login has no home directory: write the path out"
     case "$1" in "~/"*) base=\${HOME%/}/\${1#"~/"} ;; *) base=\${HOME%/}/$1 ;; esac ;;
esac
case "$base" in *"$nl"*) fail "the home directory has a line break in its name" ;; esac
releases=$base/releases
# A folder that hands its group down is a team's.
[ ! -g "$base" ] || umask 002
has() { command -v "$1" >/dev/null 2>&1; }
`

/** Sets `state` to what the base is, and `where` to the path that decided it. */
const look = `
usable() { [ -w "$1" ] && [ -x "$1" ]; }
look() {
  where=$base
  if [ -d "$base" ]; then
    state=ready
    for d in "$base/config" "$base/releases"; do
      if [ -d "$d" ]; then
        usable "$d" || { state=not-writable; where=$d; return 0; }
      elif [ -e "$d" ] || [ -L "$d" ]; then
        state=not-a-directory; where=$d; return 0
      else
        state=incomplete
      fi
    done
    [ "$state" = ready ] || usable "$base" || state=not-writable
    # Of another login: nothing that is done could be written down.
    d=$base/config/journal
    [ ! -e "$d" ] || [ -w "$d" ] || { state=not-writable; where=$d; }
    return 0
  fi
  while [ ! -e "$where" ] && [ ! -L "$where" ]; do
    where=\${where%/*}
    [ -n "$where" ] || where=/
  done
  if [ ! -d "$where" ]; then state=not-a-directory
  elif usable "$where"; then state=absent
  else state=not-writable
  fi
}
`

/** What the host's environment says to the tools must not change what a step does. A user's command gets it as it is. */
const ownTools = `
unset TAR_OPTIONS GZIP POSIXLY_CORRECT GREP_OPTIONS ENV BASH_ENV TMPDIR QUOTING_STYLE
`

const enter = `
cd "$releases" 2>/dev/null || fail "there is no directory $releases: deploy first"
`

/** `link_of` prints a link's text; `is_ref` knows our folder names; `wipe` removes trees with read-only folders too. */
const tools = `
link_of() {
  if has readlink; then readlink "$1"
  else line=$(ls -ld "$1"); printf "%s\\n" "\${line#* -> }"
  fi
}
is_ref() {
  [ "\${#1}" -eq 32 ] || return 1
  case "$1" in *[!0-9A-F]*) return 1 ;; esac
}
is_trash() { trash_ref=\${1##*.trash_} && is_ref "\${trash_ref%%_*}"; }
# Each release of ours has a manifest before it gets its name.
is_ours() {
  if real_dir "$1"; then [ -e "$1/.deployer_manifest" ] || [ -e "$1/.deployer_release.json" ]
  else [ ! -e "$1" ] && [ ! -L "$1" ]
  fi
}
real_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
real_file() { [ -f "$1" ] && [ ! -L "$1" ]; }
wipe() { rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1" 2>/dev/null; rm -rf "$1"; }; }
# Where an earlier step still writes, although its connection is gone, until it sees that nothing is wanted of it any more.
wipe_surely() {
  for pause in 1 2; do
    wipe "$1" 2>/dev/null && return 0
    sleep "$pause"
  done
  wipe "$1"
}
size_of() { n=$(wc -c < "$1") && printf "%s" "$((n))"; }
`

/** `enter_release` goes into the folder `$2` of the release's folder `$1` and makes the surroundings of a user's command. */
const inRelease = `
enter_release() {
  cd "$1" || fail "$releases/$1 cannot be entered"
  DEPLOYER_RELEASE=$(pwd)
  [ -d "$2" ] || fail "$DEPLOYER_RELEASE holds no folder $2: its name is another one"
  cd "$2" || fail "$DEPLOYER_RELEASE/$2 cannot be entered"
  DEPLOYER_REF=\${1#deployer_}
  [ "$1" = current ] && DEPLOYER_REF=
  DEPLOYER_NAME=$2 DEPLOYER_PATH=$base
  export DEPLOYER_NAME DEPLOYER_REF DEPLOYER_PATH DEPLOYER_RELEASE
  umask "$mask"
  if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
}
`

/** Whether the release `$1` is what `current` leads to, however the link is written. */
const isCurrent = `
is_current() {
  [ -L current ] || return 1
  [ "$(link_of current)" = "deployer_$1" ] && return 0
  live=$(cd -P current 2>/dev/null && pwd -P) || return 1
  case "$live/" in "$(pwd -P)/deployer_$1/"*) return 0 ;; esac
  return 1
}
`

/**
 * `sum` prints the SHA-256 of a file; `check dir manifest` prints `missing path` or `changed path` for all that differs;
 * with a third word `paths` it reads no file but the manifest, and with the absolute path of a file it hashes what is listed there.
 * Files of one manifest are hashed by one process where the tool can do that. A shell reads a manifest byte by byte: where there is awk, that
 * holds it against what find lists (\`odd_ones\`), also the modes, where the manifest tells them; a group that is inherited from the folder above
 * is none of a release's.
 */
const sums = `
if has sha256sum; then summer=sha256sum
elif has shasum; then summer=shasum
elif has openssl; then summer=openssl
else fail "there is none of sha256sum, shasum and openssl"
fi
each() { tr "\\n" "\\000" | xargs -0 "$@" 2>/dev/null; }
# What proves something has to be able to say no: some tools read nothing without an operand, and find nothing wrong with that.
checks=no
sum() {
  case "$summer" in
    sha256sum) s=$(sha256sum < "$1") ;;
    shasum) s=$(shasum -a 256 < "$1") ;;
    openssl) s=$(openssl dgst -sha256 -r < "$1") ;;
  esac
  printf "%s" "\${s%% *}"
}
all_match() {
  case "$summer" in
    sha256sum) sha256sum -c - 2>/dev/null ;;
    shasum) shasum -a 256 -c - 2>/dev/null ;;
    openssl) return 1 ;;
  esac
}
can_refuse() {
  [ "$(sum /dev/null)" = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ] || fail "$summer does not compute SHA-256 as it should: nothing can be verified"
  ! printf "%064d  /dev/null\\n" 0 | all_match >/dev/null
}
can_refuse && checks=yes
# Two at a time: most hosts have the cores.
halves_match() {
  file_lines "$1" | awk "NR % 2" | all_match >/dev/null && say yes &
  file_lines "$1" | awk "NR % 2 == 0" | all_match >/dev/null && say yes
  wait
}
quickly_match() {
  [ "$checks" = yes ] || return 1
  count=$(file_lines "$1" | wc -l)
  if [ "$((count))" -eq 0 ]; then return 0
  elif [ "$((count))" -gt 50 ] && has awk; then [ "$(halves_match "$1")" = "yes\${nl}yes" ]
  else file_lines "$1" | all_match >/dev/null
  fi
}
file_lines() { sed -n "/^[0-9a-f]\\{64\\}  /p" "$1"; }
differs() {
  found=yes
  if [ -e "$1" ] || [ -L "$1" ]; then say "changed \${1#./}"; else say "missing \${1#./}"; fi
}
listed() {
  find . -type d | sed "s/^/dir /"
  find . -type f | sed "s/^/file /"
  find . -type l | sed "s/^/link /"
  for mode in $(sed -n "s/^mode \\([0-7]*\\)$/\\1/p" "$1" | sort -u); do
    find . "(" -type d -o -type f ")" "(" -perm "$mode" -o -perm "2$mode" ")" | sed "s/^/$mode /"
    # In a folder that a team shares, directories of a release are for all of it.
    case "$mode" in
      ?[15]?)
        wide=\${mode%??}$((\${mode#?} / 10 + 2))\${mode#??}
        [ ! -g "$base" ] || find . -type d "(" -perm "$wide" -o -perm "2$wide" ")" | sed "s/^/$mode /" ;;
    esac
  done
}
odd_ones() {
  listed "$1" | awk -v one=" " -v two="  " -v last="end " -v is_file=file "
    FNR == 1 { source++ }
    source == 2 {
      at = index(\\$0, one); word = substr(\\$0, 1, at - 1); path = substr(\\$0, at + 1)
      if (type[path] == word) delete type[path]
      else if (mode[path] == word) delete mode[path]
      next
    }
    { whole = 0; lines++ }
    text { text = 0; next }
    /^mode / { now = \\$2; next }
    /^end / { whole = (\\$0 == last (lines - 1)); next }
    /^link / { path = substr(\\$0, 6); text = 1 }
    /^dir / { path = substr(\\$0, 5) }
    !/^(link|dir) / { files++; path = substr(\\$0, 67) }
    path in type { twice = 1 }
    /^(link|dir) / { type[path] = \\$1 }
    !/^(link|dir) / && substr(\\$0, 65, 2) == two { type[path] = is_file }
    now && !text { mode[path] = now }
    END {
      print (whole && !twice) + 0, files + 0
      for (path in type) if (type[path]) print path
      for (path in mode) if (mode[path] && !type[path]) print path
    }
  " "$1" -
  sed -n -e "/^link /{" -e p -e n -e p -e "}" "$1" | while IFS= read -r link && IFS= read -r text; do
    link="\${link#link }"
    [ ! -L "$link" ] || [ "$(link_of "$link")" = "\${text#to }" ] || say "$link"
  done
}
# Some tar programs do not set a mode that they take for the file's already, although a default access list has made it another one.
put_modes() (
  cd "$1" || exit 0
  of_mode() {
    awk -v kind="$1" -v wanted="$2" -v two="  " -v file=file "
      text { text = 0; next }
      /^mode / { now = \\$2; next }
      /^link / { text = 1; next }
      now != wanted || /^end / { next }
      /^dir / { if (kind == substr(\\$0, 1, 3)) print substr(\\$0, 5); next }
      kind == file && substr(\\$0, 65, 2) == two { print substr(\\$0, 67) }
    " "$3"
  }
  modes=$(sed -n "s/^mode \\([0-7]*\\)$/\\1/p" "$2" | sort -u)
  for mode in $modes; do of_mode file "$mode" "$2" | each chmod "$mode"; done
  for mode in $modes; do of_mode dir "$mode" "$2" | sort -r | each chmod "$mode"; done
)
check() (
  cd "$1" || { say "missing ."; exit 0; }
  files=0 whole=0 found=no
  # What find prints of a name with a line break would pass for others.
  if [ -s "$2" ] && has awk && [ -z "$(find . -name "*$nl*" -prune)" ]; then
    odd=$(odd_ones "$2")
    first=\${odd%%"$nl"*}
    whole=\${first% *} files=\${first#* }
    if [ "$odd" != "$first" ]; then
      found=yes
      printf "%s\\n" "\${odd#*"$nl"}" | sort | while IFS= read -r name; do differs "$name"; done
    fi
  else
    lines=0
    while IFS= read -r line; do
      whole=0
      case "$line" in
        "dir "*) real_dir "\${line#dir }" || differs "\${line#dir }" ;;
        "link "*)
          link="\${line#link }"
          IFS= read -r line
          lines=$((lines + 1))
          [ -L "$link" ] && [ "$(link_of "$link")" = "\${line#to }" ] || differs "$link" ;;
        "mode "*) ;;
        "end "*) [ "$lines" = "\${line#end }" ] && whole=1 ;;
        *)
          files=$((files + 1))
          real_file "\${line#*  }" || differs "\${line#*  }" ;;
      esac
      lines=$((lines + 1))
    done < "$2"
  fi
  # Nothing may follow the end, and no line may escape the hashing below.
  hashed=$(file_lines "$2" | wc -l)
  [ "$whole" = 1 ] && [ -z "$(tail -c 1 "$2")" ] && [ "$((hashed))" -eq "$files" ] || say "changed .deployer_manifest"
  [ "$files" -gt 0 ] && [ "\${3-}" != paths ] || exit 0
  case "\${3-}" in /*) hashed=$3 ;; *) hashed=$2 ;; esac
  out=
  if quickly_match "$hashed" || { [ "$checks" = yes ] && out=$(file_lines "$2" | all_match); }; then exit 0; fi
  # The tools write names with backslashes and trailing carriage returns in ways of their own: then file by file.
  names=$(printf "%s\\n" "$out" | sed -n "s/: FAILED[^:]*$//p")
  case "$nl$names" in
    "$nl" | *"$nl"[!.]*) ;;
    *)
      changed=$(printf "%s\\n" "$names" | while IFS= read -r name; do
        if real_file "$name"; then differs "$name"; fi
      done)
      if [ -n "$changed" ]; then say "$changed"; exit 0; fi
      [ "$found" = no ] || exit 0 ;;
  esac
  file_lines "$2" | while IFS= read -r line; do
    name="\${line#*  }"
    if real_file "$name" && [ "$(sum "$name")" != "\${line%%  *}" ]; then differs "$name"; fi
  done
  exit 0
)
`

/**
 * Locks are files `config/lock.<token>` of one line, `taken`, `held` or `free` and the details. The highest token counts. Taking a
 * lock makes the next token by link(2), which only one can do, with all details in it; nobody removes the highest. `top` sets
 * `token` (0: never locked), `state` and `details`; `idle` sets `since`, the seconds since the last sign of life, and `ahead` where
 * that has yet to come.
 *
 * A sign of life, `config/beat.<token>`, says when by the host's clock and, on Linux, how long after its start: nobody sets that.
 */
const locking = `
number() {
  case "$1" in "" | 0?* | *[!0-9]*) return 1 ;; esac
  [ "\${#1}" -le 15 ]
}
top() {
  token=0 state=free details=
  for lock in "$base"/config/lock.*; do
    n=\${lock##*.}
    number "$n" && [ "$n" -gt "$token" ] && token=$n
  done
  [ "$token" -gt 0 ] || return 0
  lock=
  IFS= read -r lock 2>/dev/null < "$base/config/lock.$token"
  state=\${lock%% *} details=\${lock#* }
  case "$state" in free | held) ;; *) state=taken ;; esac
}
clock() {
  now=$(date +%s)
  number "$now" || now=0
  up= boot=
  IFS="." read -r up boot 2>/dev/null < /proc/uptime
  number "$up" && IFS= read -r boot 2>/dev/null < /proc/sys/kernel/random/boot_id || up=0 boot=
}
idle() {
  beat= beat_up= beat_boot=
  IFS=" " read -r beat beat_up beat_boot 2>/dev/null < "$base/config/beat.$token"
  clock
  if [ -n "$boot" ] && [ "$boot" = "$beat_boot" ] && number "$beat_up"; then since=$((up - beat_up))
  elif number "$beat"; then since=$((now - beat))
  else since=$now
  fi
  ahead=no
  [ "$since" -ge 0 ] || since=0 ahead=yes
}
# By rename: a file that is being written has no time in it, and would let somebody else take the lock over.
live() {
  clock
  printf "%s\\n" "$now $up $boot" > "$base/config/.beat.$$" && mv -f "$base/config/.beat.$$" "$base/config/beat.$1"
}
`

/** `give_back` frees the lock with this token, unless it is somebody else's by now. */
const giving = `
give_back() {
  top
  [ "$token" -eq "$1" ] && [ "$state" = taken ] || return 0
  { printf "free %s\\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$1"; } 2>/dev/null ||
    # On a full disk: a lock that never gave a sign of life is as good as free.
    rm -f "$base/config/.lock.$$" "$base/config/beat.$1"
}
`

/**
 * `note` appends `entries`, whole lines, to the journal, after what they tell of. What is done is done: where they cannot be
 * written, the answer says so and goes on.
 */
const journal = `
note() {
  [ -n "$entries" ] || return 0
  log=$base/config/journal torn=
  # A crash may have left NUL bytes at its end.
  [ ! -s "$log" ] || [ "$(($(tail -c 1 "$log" 2>/dev/null | wc -l)))" -eq 1 ] || torn=$nl
  err=$({ printf "%s%s\\n" "$torn" "$entries" >> "$log"; } 2>&1) || say "unnoted $(flat "$err")"
  chmod o= "$log" 2>/dev/null
}
`

/**
 * For scripts that change something: `$2` is the token of the lock under which they run, 0 without one, `$3` what they write
 * into the journal, `$4` whether the lock is given back with that; all are taken off the arguments. `guard` refuses when that lock is
 * not the holder's any more; it stands right before whatever cannot be taken back. `conclude` ends those that may be a command's last.
 */
const fenced = `${locking}${giving}${journal}
fence=$2
entries=$3
unlocks=$4
first=$1
shift 4
set -- "$first" "$@"
conclude() {
  note
  [ -z "$unlocks" ] || give_back "$fence"
  finish
}
guard() {
  [ "$fence" -eq 0 ] && return 0
  top
  [ "$token" -eq "$fence" ] && [ "$state" = taken ] && return 0
  say "fenced"
  finish
}
guard
`

const guarded = `${ownTools}${fenced}`

/**
 * `row` reads the figures of the only file system in what df prints; `mount_of` finds how the directory `$1` is mounted. Not by
 * df, which on BusyBox names any mount of the same disk.
 */
const disks = `
row() {
  total= used= available= share=
  set -f
  for word in \${1#*"$nl"}; do
    case "$word" in [0-9]*%) share=$word; break ;; esac
    total=$used used=$available available=$word
  done
  set +f
  [ -n "$share" ]
}
mount_of() {
  point= mounted=
  [ -r /proc/mounts ] && inside=$(cd -P "$1" 2>/dev/null && pwd -P) || return 0
  while IFS=" " read -r device folder type options rest; do
    case "$folder" in *[!-A-Za-z0-9/._]*) folder=$(printf "%b" "$folder") ;; esac
    case "\${inside%/}/" in "\${folder%/}"/*) [ "\${#folder}" -ge "\${#point}" ] || continue ;; *) continue ;; esac
    point=$folder
    case ",$options," in *,ro,*) mounted="$type ro" ;; *) mounted="$type rw" ;; esac
    case ",$options," in *,noexec,*) rest=noexec ;; *) rest=exec ;; esac
    mounted="$mounted $rest"
  done < /proc/mounts
}
`

/** `flush` writes files to the disk before a rename makes them count: after a power cut they might be empty otherwise. */
const syncing = `
flush() { sync -f "$releases" "$base/config" 2>/dev/null || sync 2>/dev/null || say "unsynced"; }
`

/**
 * `switch_to` renames a new link over `current`. `disarm` keeps the host from going back by itself: whoever renames the file of a
 * dead-man's switch has decided, and where the host was first, its going back is waited for.
 */
const switching = `
switch_to() {
  err=$(ln -s "$1" "$2" 2>&1) || fail "$err"
  # Whoever takes the lock over removes the links of those before: so after this check the renaming fails, or was in time.
  [ "$fence" -eq 0 ] || { top; [ "$token" -eq "$fence" ] && [ "$state" = taken ]; } || { rm -f "$2"; say "fenced"; finish; }
  if ! err=$(mv -fT "$2" current 2>&1); then
    if [ -L current ]; then
      mv -fh "$2" current 2>/dev/null || perl -e "rename shift, shift or exit 1" "$2" current 2>/dev/null
    else
      err=$(mv -f "$2" current 2>&1)
    fi || { rm -f "$2"; fail "$err"; }
  fi
  [ "$(link_of current)" = "$1" ] || fail "the link leads to $(link_of current) now"
}
disarm() {
  for armed in "$base"/config/armed.*; do
    [ -e "$armed" ] && [ "$armed" != "$base/config/armed.$1" ] || continue
    mv "$armed" "$base/config/.disarmed.$$" 2>/dev/null && rm -f "$base/config/.disarmed.$$"
  done
  await_fired
}
await_fired() {
  tries=0
  for fired in "$base"/config/fired.*; do
    while [ -e "$fired" ]; do
      tries=$((tries + 1))
      # It takes no longer than this: the machine went down in the middle of it.
      [ "$tries" -le 15 ] || rm -f "$fired"
      sleep 1
    done
  done
}
`

/**
 * The journal only ever grows. `config/facts` holds the entries of its beginning from which anything follows, as `compact` selected them: its
 * first line says up to which byte, the SHA-256 of the 4096 bytes before that, and the SHA-256 of the lines that follow. Anything else in
 * its place is ignored. `tell_journal` tells these, and what the journal holds beyond; if that is much, it says `long` instead.
 */
const chronicle = `
digest() {
  { sha256sum || openssl dgst -sha256 -r || shasum -a 256; } 2>/dev/null | { read -r sum rest && printf "%s" "$sum"; }
}
end_digest() { tail -c +"$(($1 > 4096 ? $1 - 4095 : 1))" "$log" | head -c "$(($1 > 4096 ? 4096 : $1))" | digest; }
# A crash may leave NUL bytes, which no tool reads alike.
from_byte() { tail -c +"$(($1 + 1))" "$log" | tr "\\000" "?"; }
open_journal() {
  log=$base/config/journal facts=$base/config/facts from=0 length=0
  [ -f "$log" ] || return 1
  length=$(size_of "$log")
  real_file "$facts" && read -r word upto sums 2>/dev/null < "$facts" && [ "$word" = facts1 ] && [ "$upto" -le "$length" ] 2>/dev/null || return 0
  [ "\${#sums}" -eq 129 ] && [ "$(end_digest "$upto") $(sed 1d "$facts" | digest)" = "$sums" ] || return 0
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
`

/** `see` tells everything at once but for the lock. To be called in a shell of its own. */
const seeing = `${look}${disks}${chronicle}
bad() { say "damaged $ref it is $1"; }
see() {
look
say "path $base"
say "base $state $where"
[ -d "$releases" ] && where=$releases
user=$(id -un 2>/dev/null) && say "user $(flat "$user")"
clock=$(date +%s 2>/dev/null) && say "clock $clock"
row "$(df -Pk "$where" 2>/dev/null || df -k "$where" 2>/dev/null)" && say "free $available"
nodes=$(df -Pi "$where" 2>/dev/null)
# Some file systems make inodes as they are needed, and count none; some systems print other columns.
case "$nodes" in
  *" Inodes "*) row "$nodes" && [ "$total" -gt 0 ] 2>/dev/null && say "inodes $available" ;;
esac
mount_of "$where"
[ -z "$mounted" ] || say "mounted $mounted $(flat "$point")"
for loader in /lib*/ld-*.so.* /lib*/ld64.so.* /lib/*/ld-linux*.so.*; do
  if [ -e "$loader" ]; then say "loader $(flat "$loader")"; fi
done
say "machine $(flat "$(uname -m)")"
if has awk && has xargs; then say "can differences"; fi
if has zstd; then say "can zstd"; fi
for tool in tar gzip; do has "$tool" || say "lacks $tool"; done
has sha256sum || has shasum || has openssl || say "lacks sha256"
if ! cd "$releases" 2>/dev/null; then
  say "current absent"
  return 0
fi
if [ -L current ]; then
  say "current link $(flat "$(link_of current)")"
  # Whoever made the link may have written it in another way.
  led=$(cd -P current 2>/dev/null && pwd -P) && led=\${led#"$(pwd -P)/deployer_"} && ref=\${led%%/*} && is_ref "$ref" && say "leads $ref"
elif [ -d current ]; then say "current directory"
elif [ -e current ]; then say "current file"
else say "current absent"
fi
now=$(date +%s)
for armed in "$base"/config/armed.*; do
  [ -e "$armed" ] || continue
  ref= back= deadline= restore=
  read -r ref back deadline restore < "$armed"
  case "$deadline" in "" | *[!0-9]*) continue ;; esac
  say "armed \${armed##*/armed.} $ref $back $((deadline - now)) $restore"
done
tell_journal
big=$(find . -maxdepth 2 -name .deployer_release.json -size +128 2>/dev/null)
for folder in deployer_*; do
  ref=\${folder#deployer_}
  is_ref "$ref" || continue
  real_dir "$folder" || { say "foreign $ref"; continue; }
  file=$folder/.deployer_release.json
  if [ ! -e "$file" ] && [ ! -L "$file" ]; then
    # A folder without a manifest is somebody else's; one that is being adopted is not what a deployment left.
    if [ -d ".adopting_$ref" ]; then :
    elif [ -e "$folder/.deployer_manifest" ]; then say "unrecorded $ref"
    else say "foreign $ref"
    fi
    continue
  fi
  case "$nl$big$nl" in *"$nl./$file$nl"*) bad "larger than 64 KiB"; continue ;; esac
  real_file "$file" && [ -r "$file" ] || { bad "not a file that can be read"; continue; }
  record= more=
  if { IFS= read -r record && ! IFS= read -r more && [ -z "$more" ]; } < "$file"; then say "release $ref $record"
  elif [ -z "$record" ]; then bad "empty"
  else bad "not one whole line"
  fi
done
for folder in .staging_*; do
  ref=\${folder#.staging_}
  is_ref "$ref" && real_dir "$folder" || continue
  received=0 stream= note=
  real_file "$folder/note" && [ -r "$folder/note" ] && IFS= read -r note < "$folder/note"
  real_file "$folder/stream" && [ -r "$folder/stream" ] && IFS= read -r stream < "$folder/stream"
  part=$folder/release.tar
  case "$stream" in "" | whole) part=$part.gz ;; esac
  real_file "$part" && [ -r "$part" ] && received=$(size_of "$part")
  say "upload $ref $received \${stream:--} $note"
done
for folder in .adopting_*; do
  ref=\${folder#.adopting_}
  is_ref "$ref" && real_dir "$folder" && say "adopting $ref"
done
}
`

/** Everything at once. `$1` path. */
export const inspect = script(`${prelude}${locking}${tools}${seeing}
top
[ "$state" = free ] || { idle; say "locked $token $since $details"; }
see
finish
`)

/** For awk: selects what `decisive` and `lineage` of domain/Journal.ts select, from facts, the line `tail`, and lines of the journal. */
const selecting = String.raw`
function append(r) {
  if (r in pos) delete stack[pos[r]]
  stack[++depth] = r
  pos[r] = depth
}
function leave(r) {
  if (r in pos) { delete stack[pos[r]]; delete pos[r] }
}
function event_of(text) {
  text = substr(text, 11)
  return substr(text, 1, index(text, "\"") - 1)
}
function release_of(text, at) {
  at = index(text, ",\"release\":{\"name\":\"")
  return at == 0 ? "" : substr(text, at + 20)
}
function entry(text, event, ref) {
  seq++
  event = event_of(text)
  if (event == "repaired") torn = 0
  ref = release_of(text)
  if (ref != "") ref = substr(ref, index(ref, "\",\"ref\":\"") + 9, 32)
  if (event ~ /^(switched|linked|adopted|rolledBack|unlinked)$/) {
    last_at = seq
    last_text = text
    last_ref = ref
  }
  if (ref == "") return
  known[ref]
  if (event ~ /^(switched|linked|adopted|rolledBack)$/) {
    link[ref] = text
    link_at[ref] = seq
    if (raw) {
      if (event != "rolledBack" || !(ref in pos)) append(ref)
      else for (; depth > pos[ref]; depth--) if (depth in stack) { delete pos[stack[depth]]; delete stack[depth] }
    }
  }
  if (event ~ /^(healthy|unhealthy|adopted)$/) { verdict[ref] = text; verdict_at[ref] = seq; ill[ref] = (event == "unhealthy") }
  if (event ~ /^(staged|switched)$/) { deployed[ref] = text; deployed_at[ref] = seq }
  if (event ~ /^(pinned|unpinned)$/) { pin[ref] = text; pin_at[ref] = seq }
  if (event == "unlinked") { unlinked[ref] = text; unlinked_at[ref] = seq }
  if (raw && event ~ /^(unlinked|removed)$/) leave(ref)
  if (event == "removed") {
    delete link[ref]
    delete deployed[ref]
    delete pin[ref]
    delete unlinked[ref]
    if (!ill[ref]) delete verdict[ref]
    removal[ref] = text
    removal_at[ref] = seq
  }
}
function is_entry(text, rest, at) {
  if (text !~ /@grammar@/ || !index(events, " " event_of(text) " ")) return 0
  rest = release_of(text)
  if (rest != "") {
    if (index(rest, "\"") > 129) return 0
    rest = substr(rest, index(rest, "\",\"ref\":\"") + 9)
    if (substr(rest, 33, 1) != "\"") return 0
  }
  at = index(text, ",\"from\":\"")
  return at == 0 || substr(text, at + 41, 1) == "\""
}
function take(text) {
  upto += length(text) + 1
  if (length(text) <= @longest@ && is_entry(text)) entry(text)
  else torn++
}
function keep(texts, places, ref) { if (ref in texts) chosen[places[ref]] = texts[ref] }
BEGIN { events = " @events@ " }
raw { if (held) take(before); before = $0; held = 1; next }
$0 == "tail" { raw = 1; next }
/^line/ { count = split($0, refs, " "); for (i = 2; i <= count; i++) append(refs[i]); next }
/^torn / { torn = substr($0, 6) + 0; next }
{ known_torn = torn; entry($0); torn = known_torn }
END {
  print "upto " (upto + 0)
  print "torn " (torn + 0)
  printf "line"
  for (i = 1; i <= depth; i++) if (i in stack) printf " %s", stack[i]
  print ""
  for (ref in known) {
    keep(link, link_at, ref)
    keep(verdict, verdict_at, ref)
    keep(deployed, deployed_at, ref)
    keep(pin, pin_at, ref)
    keep(unlinked, unlinked_at, ref)
    if ((ref in verdict && verdict_at[ref] < removal_at[ref]) || (ref == last_ref && last_at < removal_at[ref]))
      keep(removal, removal_at, ref)
  }
  if (last_at) chosen[last_at] = last_text
  for (i = 1; i <= seq; i++) if (i in chosen) print chosen[i]
}
`
  .replace("@grammar@", () => journalGrammar)
  .replace("@longest@", String(longestEntry))
  .replace("@events@", JournalEvent.literals.join(" "))

/**
 * Selects the entries of the journal from which anything follows, keeps them in `config/facts`, and tells them and the rest. It needs no lock:
 * what it writes rests on nothing but the beginning of the journal, which nobody changes. The last line may not be whole yet, and waits.
 */
export const compact = script(`${prelude}${ownTools}${tools}${chronicle}
for old in "$base"/config/.facts.*; do
  pid=\${old##*/.facts.}
  pid=\${pid%.all}
  case "$pid" in *[!0-9]*) ;; *) kill -0 "$pid" 2>/dev/null || [ -e "/proc/$pid" ] || rm -f "$old" ;; esac
done
open_journal || finish
select() {
  {
    [ "$from" -eq 0 ] || sed 1d "$facts"
    say tail
    from_byte "$from" | head -c "$((length - from))"
  } | awk '${selecting}'
}
if has awk; then
  new=$base/config/.facts.$$
  if { selected=$(umask 077; select > "$new"); } 2>/dev/null; then
    upto=$(sed -n -e "1s/^upto //p" -e q "$new")
    upto=$((from + upto))
    real_file "$facts" || rm -rf "$facts"
    say "facts1 $upto $(end_digest "$upto") $(sed 1d "$new" | digest)" > "$new.all" &&
      sed 1d "$new" >> "$new.all" && mv -f "$new.all" "$facts"
    sed -e 1d -e "s/^/fact /" "$new"
  else
    # Somebody who may only read.
    selected=$(select)
    upto=\${selected%%"$nl"*}
    upto=$((from + \${upto#upto }))
    printf "%s\\n" "$selected" | sed -e 1d -e "s/^/fact /"
  fi
  rm -f "$new" "$new.all" 2>/dev/null
  tell_rest "$upto"
else
  tell_rest 0
fi
say ""
finish
`)

/** The last lines of the journal. `$1` path, `$2` how many. */
export const history = script(`${prelude}
log=$base/config/journal
[ ! -f "$log" ] || tail -n "$2" "$log" | tr "\\000" "?" | sed -e "s/^{.*}$/journal &/" -e t -e "s/.*/torn/"
say ""
finish
`)

/** Makes what is missing of the structure. `$1` path. */
export const prepare = script(`${prelude}${look}
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
`)

/**
 * A tree is completed from the release `$1`, most of which it shares. `begin_tree` makes its manifest from that of the release and what is to be
 * changed there, copies the files that stand in both manifests alike, and proves them; `complete_tree` makes those that are made of parts of another
 * and pieces that were sent (`patch`), and those that stand elsewhere on the host. Failures show in the check that follows. With `$2` hard links are
 * made instead of copies.
 *
 * `begin_tree` works beside the upload, as soon as what it needs has come: `.deployer_begin` says so. It ends with this shell, and where nothing more
 * is received.
 */
const assembling = `
part() {
  if [ "$bytes" = yes ]; then err=$(dd if="$base" bs=65536 iflag=skip_bytes,count_bytes skip="$1" \${2:+count="$2"} 2>&1 >> "$to")
  else err=$(dd if="$base" bs="$block" skip="$3" \${4:+count="$4"} 2>&1 >> "$to")
  fi || say "$err" >&2
}
patch() {
  # Not all of them know these flags; without them, small blocks take longer.
  bytes=yes
  dd if=/dev/null of=/dev/null bs=1 count=0 iflag=skip_bytes,count_bytes 2>/dev/null || bytes=no
  while IFS= read -r line; do
    case "$line" in
      "base "*) base=\${line#base } ;;
      "block "*) block=\${line#block } ;;
      "to "*) to=$tree/\${line#to } ;;
      "add "*) cat "$tree/.deployer_pieces/\${line#add }" >> "$to" ;;
      "mode "*) chmod "\${line#mode }" "$to" ;;
      "time "*) touch -r "$tree/.deployer_pieces/\${line#time }" "$to" ;;
      "keep "*)
        set -- \${line#keep }
        part "$(($1 * block))" "$(($2 * block))" "$1" "$2" ;;
      "rest "*)
        set -- "\${line#rest }"
        part "$(($1 * block))" "" "$1" "" ;;
    esac
  done
}
put_all() {
  [ "$#" -eq 0 ] || cp $copying "$@" "$tree/$into"
}
source_of() {
  case "$1" in tree/*) source=$tree/\${1#tree/} ;; *) source=$1 ;; esac
}
copy_lot() {
  if [ -z "$parents" ]; then (cd "$origin" && tr "\\n" "\\000" < "$1" | xargs -0 tar -cf -) | (cd "$tree" && tar -xpof -)
  else
    (cd "$origin" && tr "\\n" "\\000" < "$1" | xargs -0 cp $parents -t "$here/$tree") ||
      (cd "$origin" && tar -cf - -T "$1") | (cd "$tree" && tar -xpof -)
  fi
}
begin_tree() {
  polls=0
  until [ -e "$tree/.deployer_begin" ]; do
    if [ ! -e "$notes/receiving" ]; then
      [ -e "$tree/.deployer_begin" ] && break
      return 0
    fi
    polls=$((polls + 1))
    if [ "$polls" -gt 4000 ] || ! kill -0 $$ 2>/dev/null; then return 0; fi
    if [ "$polls" -gt 400 ] || ! sleep 0.05 2>/dev/null; then sleep 1; fi
  done
  origin=deployer_$1 parents="-p --reflink=auto --parents" most=250
  # BusyBox makes a directory anew that was moved away meanwhile: there tar goes into it first, with as many names as it takes.
  case "$(cp --help 2>&1)" in *BusyBox*) parents= most=100 ;; esac
  [ -z "$2" ] || parents="-pl --parents"
  # Its directories are made on the way, before what is received gets into them.
  odd=$(find "$origin" -type d ! -perm -0300 | sed -n 1p)
  [ -z "$odd" ] || [ -w "$odd" ] || return 0
  awk "
    FNR == 1 { file++ }
    file == 1 { line[FNR] = \\$0; next }
    /^=/ { for (n = substr(\\$1, 2) + 0; n <= \\$2 + 0; n++) print line[n]; next }
    { print substr(\\$0, 2) }
  " "$origin/.deployer_manifest" "$tree/.deployer_edits" > "$tree/.deployer_manifest"
  # What commands changed there, and what is below that, is sent.
  awk -v one=" " -v two="  " -v above="[/][^/]*$" -v altered="$origin/.deployer_altered" "
    BEGIN { while ((getline line < altered) > 0) other[substr(line, index(line, one) + 1)] }
    function is_other(path) {
      do { if (path in other) return 1 } while (sub(above, empty, path))
      return 0
    }
    FNR == 1 { file++; mode = 0 }
    /^mode / { mode = \\$2; next }
    /^(dir|link|to|end) / || substr(\\$0, 65, 2) != two || ! mode { next }
    file == 1 { if (!is_other(substr(\\$0, 67))) there[mode \\$0]; next }
    (mode \\$0) in there
  " "$origin/.deployer_manifest" "$tree/.deployer_manifest" > "$notes/lines"
  [ -s "$notes/lines" ] || return 0
  here=$PWD
  awk -v most="$most" -v lot="$notes/lot." "
    { now = lot int((NR - 1) / most); if (now != last) close(last); print substr(\\$0, 67) > now; last = now }
  " "$notes/lines"
  for lot in "$notes"/lot.*; do
    # Whoever wants nothing of it any more takes these away.
    [ -e "$lot" ] || return 0
    copy_lot "$here/$lot"
  done
  if (cd "$tree" && quickly_match "$here/$notes/lines"); then mv "$notes/lines" "$notes/proved"; fi
}
complete_tree() {
  copying=-p
  [ -z "$1" ] || copying=-pl
  [ ! -e "$tree/.deployer_patches" ] || patch < "$tree/.deployer_patches"
  (
    set -- && into=
    while IFS= read -r line; do
      case "$line" in
        "into "*) put_all "$@"; set --; into=\${line#into } ;;
        "take "*)
          source_of "\${line#take }"
          set -- "$@" "$source"
          [ "$#" -lt 500 ] || { put_all "$@"; set --; } ;;
        "copy "*) source_of "\${line#copy }" ;;
        # Not a second name: its mode is going to be another one.
        "own "*) put_all "$@"; set --; cp -p "$source" "$tree/\${line#own }" ;;
        "as "*) put_all "$@"; set --; cp $copying "$source" "$tree/\${line#as }" ;;
        "mode "*) mode=\${line#mode } ;;
        "of "*) chmod "$mode" "$tree/\${line#of }" ;;
      esac
    done < "$tree/.deployer_moves"
    put_all "$@"
  )
  (cd "$tree" && rm -rf .deployer_edits .deployer_begin .deployer_moves .deployer_patches .deployer_pieces .deployer_end)
}
# This makes hashed a list of what is still to be hashed. Not every awk says that a disk is full: so they are counted.
find_unproved() {
  hashed=
  [ -e "$notes/proved" ] || return 0
  awk "FNR == 1 { file++ } file == 1 { proved[\\$0]; next } ! (\\$0 in proved)" "$notes/proved" "$tree/.deployer_manifest" > "$notes/rest"
  proved=$(file_lines "$notes/proved" | wc -l) rest=$(file_lines "$notes/rest" | wc -l) all=$(file_lines "$tree/.deployer_manifest" | wc -l)
  [ "$((proved + rest))" -ne "$((all))" ] || hashed=$PWD/$notes/rest
}
`

/**
 * `.deployer_altered` of a release holds what its `afterUnpack` commands made of it: a line with the state and the path of each entry that is not
 * as the manifest has it, and `end` with their number. `only_unknown dir` leaves these out of faults. What is below an entry that they took away,
 * or made a link, is theirs; what is below a directory that has another mode is not. `states` puts the state of each path before it, with few
 * processes for any number of paths.
 */
const altering = `
state_of() {
  if [ -L "$1" ]; then printf "link:%s" "$(link_of "$1" | tr " " "?")"
  elif [ -d "$1" ]; then printf "dir:%.10s" "$(ls -ld "$1")"
  elif [ -f "$1" ]; then printf "%s:%.10s" "$(sum "$1")" "$(ls -ld "$1")"
  elif [ -e "$1" ]; then printf other
  else printf gone
  fi
}
sums_of() { case "$summer" in sha256sum) each sha256sum ;; shasum) each shasum -a 256 ;; openssl) each openssl dgst -sha256 -r ;; esac; }
states() {
  if ! has awk || ! has xargs; then
    while IFS= read -r path; do say "$(state_of "$path") $path"; done
    return
  fi
  kinds=$(while IFS= read -r path; do
    if [ -L "$path" ]; then say "$(state_of "$path") $path"
    elif [ -d "$path" ]; then say "dir $path"
    elif [ -f "$path" ]; then
      # The tools write such names in ways of their own.
      case "$path" in *"\\\\"*) say "$(state_of "$path") $path" ;; *) say "file $path" ;; esac
    else say "$(state_of "$path") $path"
    fi
  done)
  {
    printf "%s\\n" "$kinds" | sed -n -e "s/^file //p" -e "s/^dir //p" | each ls -ld
    say ""
    printf "%s\\n" "$kinds" | sed -n "s/^file //p" | sums_of
    say ""
    printf "%s\\n" "$kinds"
  } | awk -v one=" " -v dot=" ./" -v root="./" -v file=file -v dir=dir -v colon=":" "
    part < 2 && \\$0 == none { part++; next }
    ! part { at = index(\\$0, dot); if (at) mode[substr(\\$0, at + 1)] = substr(\\$0, 1, 10); next }
    part == 1 { at = index(\\$0, root); if (at) hash[substr(\\$0, at)] = substr(\\$0, 1, 64); next }
    {
      at = index(\\$0, one); kind = substr(\\$0, 1, at - 1); path = substr(\\$0, at + 1)
      if (kind == dir) print dir colon mode[path] one path
      else if (kind == file) print hash[path] colon mode[path] one path
      else print
    }
  "
}
only_unknown() (
  cd "$1" && real_file .deployer_altered && [ -r .deployer_altered ] || { cat; exit 0; }
  lines=$(wc -l < .deployer_altered)
  [ "$(tail -n 1 .deployer_altered)" = "end $((lines - 1))" ] && has awk || { cat; exit 0; }
  faults=$(cat)
  [ -n "$faults" ] || exit 0
  above="
    function is_theirs(path, up) {
      if (path in state && is_so(path)) return 1
      for (up = path; sub(last, none, up) && up != dot; )
        if (up in state && index(state[up], dir) != 1 && is_so(up)) return 1
      return 0
    }
    FNR == 1 { source++ }
    source == 1 { at = index(\\$0, one); state[substr(\\$0, at + 1)] = substr(\\$0, 1, at - 1); next }
  "
  now=$(printf "%s\\n" "$faults" | awk -v one=" " -v dot=. -v root="./" -v dir="dir:" -v last="[/][^/]*$" "
    function is_so(path) { if (!(path in wanted)) print path; wanted[path]; return 0 }
    $above
    { is_theirs(root substr(\\$0, index(\\$0, one) + 1)) }
  " .deployer_altered - | states)
  {
    [ -z "$now" ] || printf "%s\\n" "$now"
    say ""
    printf "%s\\n" "$faults"
  } | awk -v one=" " -v dot=. -v root="./" -v dir="dir:" -v last="[/][^/]*$" "
    function is_so(path) { return current[path] == state[path] }
    $above
    ! part { if (\\$0 == none) part = 1; else { at = index(\\$0, one); current[substr(\\$0, at + 1)] = substr(\\$0, 1, at - 1) }; next }
    ! (\\$0 in told) && ! is_theirs(root substr(\\$0, index(\\$0, one) + 1))
    { told[\\$0] }
  " .deployer_altered -
)
`

/** Writes down what commands made of a release since it was unpacked, and tells it. `$1` path, `$2` ref. */
export const alterations = script(`${prelude}${guarded}${tools}${sums}${altering}${enter}
folder=deployer_$2
real_dir "$folder" && real_file "$folder/.deployer_manifest" || fail "there is no $releases/$folder/.deployer_manifest any more"
faults=$(check "$folder" "$PWD/$folder/.deployer_manifest")
cd "$folder" || fail "$releases/$folder cannot be entered"
case "$nl$faults$nl" in *" .deployer_manifest$nl"*) fail "$releases/$folder/.deployer_manifest is not what it was" ;; esac
guard
if [ -z "$faults" ]; then
  err=$(rm -f .deployer_altered 2>&1) || fail "$err"
  finish
fi
new=.deployer_altered.$$
list() {
  printf "%s\\n" "$faults" | sed "s/^[a-z]* /.\\//" | states
  lines=$(printf "%s\\n" "$faults" | wc -l)
  say "end $((lines))"
}
err=$({ list > "$new" && mv -f "$new" .deployer_altered; } 2>&1) || { rm -f "$new"; fail "$err"; }
printf "%s\\n" "$faults" | sed "s/^[a-z]* /altered /"
finish
`)

/**
 * Receives a release from standard input, unpacks it as it comes, checks it, and gives it its name. `$1` path, `$2` ref, `$3` bytes to
 * keep of what arrived before (of a tarball, or unpacked of what completes another release), `$4` bytes in the end, or nothing: then the last entry of the archive is `.deployer_end`, `$5` a word for
 * what is sent, `$6` note, `$7` SHA-256 of the manifest, which is the archive's first entry, `$8` the ref of a release from which what is sent is
 * completed, or nothing, `$9` whether that is done with hard links, `$10` what is to be changed in its manifest, where that is no entry of the
 * archive, `$11` the program that unpacks what completes it, `$12` whether it takes the place of a folder that is damaged, also of one that is current.
 */
export const stage = script(`${prelude}${guarded}${tools}${isCurrent}${sums}${assembling}${syncing}${enter}
stage=.staging_$2
folder=deployer_$2
# What completes another release comes compressed anew, as hard as the link asks for: it is kept as it was before that.
part=$stage/release.tar
[ -n "$8" ] || part=$part.gz
# What ends a program in the middle of a pipe is not its own fault.
unpack() {
  { case "$1" in zstd) zstd -dcq ;; *) gzip -dc ;; esac; }
  ended=$?
  case "$1 $ended" in
    *" 0" | *" 141" | *" 269") ;;
    zstd*) say "failed gzip" >&2 ;;
    *) [ "$ended" -gt 128 ] || say "failed gzip" >&2 ;;
  esac
}
tells_full() {
  case "$1" in *": No space left on device"* | *": Disk quota exceeded"* | *": Quota exceeded"*) ;; *) return 1 ;; esac
}
receive() {
  if [ -n "$8" ]; then cat "$part" && hush && unpack "\${11}" | tee -a "$part"
  else cat "$part" && hush && tee -a "$part"
  fi || say "failed tee" >&2
}
# While what arrived before is read again, nothing more is taken: a sign of life keeps the other side waiting.
ticker=
tick() { while sleep 2 >/dev/null 2>&1; do say "alive"; done; }
hush() { [ -z "$ticker" ] || kill "$ticker" 2>/dev/null; return 0; }
trap hush EXIT
# What an earlier step still does, although its connection is gone, is not done here.
tree=$stage/tree.$$ notes=$stage/tree.$$.notes
is_ours "$folder" || fail "$releases/$folder is there, and deployer did not make it: move it away"
if [ -z "\${12}" ] && { [ -e "$folder" ] || [ -L "$folder" ]; }; then
  [ -e "$folder/.deployer_release.json" ] && fail "$folder is complete already"
  is_current "$2" && fail "$folder is current, though it is not complete"
  err=$(wipe "$folder" 2>&1) || fail "$err"
fi
for old in "$stage"/tree*; do
  [ -e "$old" ] || [ -L "$old" ] || continue
  trash=.trash_$2_$$_\${old##*tree}
  err=$(mv "$old" "$trash" 2>&1) || fail "$err"
  # What is left of it is swept by whoever takes the lock next.
  wipe_surely "$trash" 2>/dev/null
done
# What arrives may hold secrets: nobody else looks at it before it has its modes.
err=$(umask 077; mkdir -p "$stage" 2>&1) && err=$(mkdir "$tree" "$notes" 2>&1) || fail "$err"
err=$({ say "$6" | cat > "$stage/note" && : > "$notes/receiving"; } 2>&1) || fail "$err"
if [ "$3" -eq 0 ]; then
  rm -f "$stage/release.tar" "$stage/release.tar.gz"
  err=$({ : > "$part"; } 2>&1) || fail "$err"
else
  tick </dev/null &
  ticker=$!
  real_file "$part" || fail "there is nothing of the earlier upload any more: start anew"
  have=$(size_of "$part")
  [ "$have" -ge "$3" ] || fail "only $have of the $3 bytes to keep are there: start anew"
  # A file of its own: an earlier step may still write into the other one, when it hears that its connection is gone.
  err=$({ cat "$part" > "$part.$$" && dd if=/dev/null of="$part.$$" bs=1 seek="$3" count=0 && mv -f "$part.$$" "$part"; } 2>&1) || {
    rm -f "$part.$$"
    fail "$err"
  }
  have=$(size_of "$part")
  [ "$have" -eq "$3" ] || fail "only $have of the $3 bytes to keep could be copied: is the disk full?"
fi
err=$({ say "$5" | cat > "$stage/stream"; } 2>&1) || fail "$err"
if [ -n "\${10}" ]; then err=$({ say "\${10}" | cat > "$tree/.deployer_edits" && : > "$tree/.deployer_begin"; } 2>&1) || fail "$err"; fi
[ -z "$8" ] || begin_tree "$8" "$9" </dev/null >"$notes/said" 2>&1 &
why=$(
  {
    receive "$@" | { if [ -n "$8" ]; then cat; else unpack gzip; fi; } |
      if (cd "$tree" && tar -xpof -); then cat > /dev/null; else say "failed tar" >&2; fi
  } 2>&1 >/dev/null
)
rm -f "$notes/receiving"
have=$(size_of "$part")
said=$(printf "%s\\n" "$why" | sed "/^failed /d")
case "$nl$why$nl" in
  *"\${nl}failed gzip$nl"*) outcome=broken ;;
  *"\${nl}failed "*) outcome=failed ;;
  *) outcome=whole ;;
esac
[ -n "$4" ] || [ "$outcome" = failed ] || [ -e "$tree/.deployer_end" ] || outcome=broken
# What was kept may be the reason: it is not gone on with again.
[ -z "$8" ] || [ "$3" -eq 0 ] || [ "$outcome" != failed ] || tells_full "$said" || outcome=damaged
[ "$outcome" = whole ] || rm -f "$notes"/lot.*
hush
wait
case "$nl$why$nl" in
  *"\${nl}failed tee$nl"*) ;;
  *)
    if [ -n "$4" ] && [ "$have" -ne "$4" ]; then
      guard
      wipe "$tree"
      fail "$have of $4 bytes arrived"
    fi ;;
esac
if [ "$outcome" = failed ]; then
  guard
  wipe "$tree"
  fail "$said"
fi
if [ "$outcome" != whole ]; then
  guard
  # Without a size, what is missing at the end may still come.
  if [ -n "$4" ] || [ "$outcome" = damaged ]; then wipe "$stage"; else wipe "$tree"; fi
  say "corrupt tarball"
  finish
fi
[ -z "$8" ] || said=$(cat "$notes/said"; complete_tree "$9" 2>&1)
find_unproved
if [ "$(sum "$tree/.deployer_manifest" 2>/dev/null)" = "$7" ]; then
  faults=$(check "$tree" "$PWD/$tree/.deployer_manifest" "$hashed")
  if [ -n "$faults" ] && has awk && has xargs; then
    put_modes "$tree" .deployer_manifest
    faults=$(check "$tree" "$PWD/$tree/.deployer_manifest" "$hashed")
  fi
else faults="changed .deployer_manifest"
fi
if [ -n "$faults" ]; then
  guard
  # The host's files are as they were.
  if tells_full "$said"; then
    wipe "$tree"
    fail "$said"
  fi
  wipe "$stage"
  printf "%s\\n" "$faults" | sed -n "1,50s/^[a-z]* /corrupt /p"
  finish
fi
# The tools that make a release do not agree on what a folder hands down.
if [ -g "$base" ]; then
  chgrp -hR "$(set -- $(ls -ldn "$base"); printf "%s" "$4")" "$tree" 2>/dev/null
  # So that everybody of it can remove the release again.
  find "$tree" -type d -perm -0010 ! -perm -0020 -print | each chmod g+w
fi
chmod u+rwx "$tree"
guard
# Between these two renames there is no such folder for a moment. If this is cut there, the next who takes the lock renames it back.
trash=.replaced_$2_$$
if [ -e "$folder" ] || [ -L "$folder" ]; then
  # It may be current.
  flush
  guard
  err=$(mv "$folder" "$trash" 2>&1) || fail "$err"
fi
err=$(mv "$tree" "$folder" 2>&1) || { mv "$trash" "$folder" 2>/dev/null; fail "$err"; }
[ -f "$folder/.deployer_manifest" ] || fail "$folder is not what was unpacked"
note
wipe_surely "$stage" 2>/dev/null
wipe "$trash" 2>/dev/null
finish
`)

/** The manifest of a release, and the paths that commands changed. `$1` path, `$2` ref. */
export const manifest = script(`${prelude}${tools}${enter}
file=deployer_$2/.deployer_manifest
real_file "$file" && [ -r "$file" ] || fail "there is no $file"
sed "s/^/line /" "$file"
altered=deployer_$2/.deployer_altered
if real_file "$altered" && [ -r "$altered" ]; then sed -n "s/^[^ ]* \\([.][/]\\)/altered /p" "$altered"; fi
finish
`)

/** `draft_record ref json` writes a release's record beside its place, and `keep_record` puts it there. */
const recording = `
draft_record() {
  [ -d "deployer_$1" ] || fail "there is no deployer_$1"
  to=deployer_$1/.deployer_release.json
  [ ! -d "$to" ] || rm -rf "$to"
  err=$({ say "$2" | cat > "$to.$$"; } 2>&1) || { rm -f "$to.$$"; fail "$err"; }
}
keep_record() { err=$(mv -f "$to.$$" "$to" 2>&1) || { rm -f "$to.$$"; fail "$err"; }; }
`

/** Writes a release's record. `$1` path, `$2` ref, `$3` one line of JSON. */
export const record = script(`${prelude}${guarded}${recording}${enter}
draft_record "$2" "$3"
keep_record
finish
`)

/**
 * Switches the link. `$1` path, `$2` ref, `$3` the dead-man's switch that stays armed, or nothing, `$4` a record to be written before that, or
 * nothing. Where the dead-man's switch has acted before the link was switched, nobody would go back any more: then it is switched back.
 */
export const activate = script(`${prelude}${guarded}${tools}${syncing}${switching}${recording}${enter}
folder=deployer_$2
real_dir "$folder" || fail "there is no $folder"
[ -n "$4" ] || [ -f "$folder/.deployer_release.json" ] || fail "$folder is not complete"
if [ ! -L current ] && [ -e current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
for link in .current.*; do
  [ -L "$link" ] || continue
  case "\${link#.current.}" in *[!0-9]*) continue ;; esac
  kill -0 "\${link#.current.}" 2>/dev/null || rm -f "$link"
done
disarm "$3"
over() { [ -n "$1" ] && [ ! -e "$base/config/armed.$1" ]; }
late="the time of the dead-man switch was up before that, so nothing was switched"
over "$3" && fail "$late"
[ -z "$4" ] || draft_record "$2" "$4"
before=
[ ! -L current ] || before=$(link_of current)
rm -f ".current.$$"
flush
# Only now: a release with a record counts as complete.
[ -z "$4" ] || keep_record
switch_to "$folder" ".current.$$"
if over "$3"; then
  await_fired
  if [ "$(link_of current)" = "$folder" ] && [ "$before" != "$folder" ]; then
    if [ -n "$before" ]; then switch_to "$before" ".current.$$"; else rm -f current; fi
  fi
  fail "$late"
fi
conclude
`)

/** Takes the link away, or makes it again what it was. `$1` path, `$2` the text of a link, or nothing. */
export const deactivate = script(`${prelude}${guarded}${tools}${switching}${enter}
if [ ! -L current ] && [ -e current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
disarm ""
if [ -n "$2" ]; then
  rm -f ".current.$$"
  switch_to "$2" ".current.$$"
elif [ -L current ]; then
  guard
  err=$(rm -f current 2>&1) || fail "$err"
fi
note
finish
`)

/**
 * Lets the host go back by itself, with nothing but this script, unless somebody says in time that all is well. `$1` path, `$2` the ref
 * that becomes current next, `$3` the ref to go back to, or nothing: then the link is taken away, `$4` seconds, `$5` name of
 * the release gone back to, `$6` the text of a link to put back if there is no ref. Standard input is a command to run in the release gone back
 * to, or nothing. The entries are for the journal once it has gone back; their
 * time is the beginning of 1970, and is set then.
 */
export const arm = script(`
mask=$(umask)
locale=\${LC_ALL-}
# Whatever stands on a command line can be read by every user of the host for as long as it waits.
command=$(cat)
${prelude}${fenced}${tools}${isCurrent}${switching}${inRelease}${enter}
disarm ""
id=$fence.$$
rm -f "$base"/config/confirmed.*
deadline=$(($(date +%s) + $4))
err=$({ say "$2 \${3:--} $deadline $6" > "$base/config/.armed.$$" && mv "$base/config/.armed.$$" "$base/config/armed.$id"; } 2>&1) || fail "$err"
# A shell starts what runs beside it with some signals ignored, and what is ignored cannot be heard again without help.
start_plainly() {
  if env --default-signal=INT,QUIT true 2>/dev/null; then exec env --default-signal=INT,QUIT sh -c "$1"; fi
  has perl && exec perl -e "@SIG{INT, QUIT} = (DEFAULT, DEFAULT); exec @ARGV" sh -c "$1"
  exec sh -c "$1"
}
(
  trap "" HUP INT TERM PIPE
  sleep "$4"
  mv "$base/config/armed.$id" "$base/config/fired.$id" || exit 0
  fence=0
  if is_current "$2"; then
    restore=$6
    [ -z "$3" ] || restore=deployer_$3
    rm -f ".back.$$"
    if [ -n "$restore" ]; then switch_to "$restore" ".back.$$"; else rm -f current; fi
    at=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)
    entries=$(printf "%s\\n" "$entries" | sed "s/1970-01-01T00:00:00.000Z/$at/")
    note
    rm -f "$base/config/fired.$id"
    [ -n "$3" ] && [ -n "$command" ] && enter_release "deployer_$3" "$5" && trap - HUP INT TERM PIPE && start_plainly "$command"
  fi
  rm -f "$base/config/fired.$id"
) </dev/null >/dev/null 2>&1 &
say "armed $id"
finish
`)

/** Keeps the host from going back by itself. `$1` path, `$2` what `arm` answered, `$3` entries for the journal. */
export const confirm = script(`${prelude}${journal}
entries=$3
if [ -e "$base/config/confirmed.$2" ]; then say "confirmed"
elif mv "$base/config/armed.$2" "$base/config/confirmed.$2" 2>/dev/null; then
  note
  say "confirmed"
elif [ -e "$base/config/confirmed.$2" ]; then say "confirmed"
else
  tries=0
  while [ -e "$base/config/fired.$2" ] && [ "$tries" -lt 15 ]; do
    tries=$((tries + 1))
    sleep 1
  done
  say "fired"
fi
finish
`)

/**
 * `drop` moves the folder `$1` aside and removes it, unless the release `$2` is, or meanwhile became, current. `wipe_aside` removes what was moved
 * aside. What this login may not remove (the files of another user) is told of once, and costs no later step any time: it gets another name.
 * `remover` is the target's command for such files, or nothing.
 */
const discardFolder = `
wipe_aside() {
  wipe "$1" 2>/dev/null && return 0
  if [ -n "$remover" ]; then
    sh -c "$remover \\"\\$1\\"" remover "$PWD/$1" >/dev/null 2>&1
    [ -e "$1" ] || return 0
  fi
  odd=$(find "$1" ! -user "$(id -u)" 2>/dev/null | sed -n 1p)
  # Somebody who is gone may still write there.
  [ -n "$odd" ] || { wipe_surely "$1" 2>/dev/null && return 0; }
  aside=.stuck_\${1#.trash_}
  mv "$1" "$aside" 2>/dev/null || aside=$1
  odd=$(find "$aside" ! -user "$(id -u)" 2>/dev/null | sed -n 1p)
  owner=$(set -- $(ls -ld "\${odd:-$aside}" 2>/dev/null); printf "%s" "\${3:-somebody}")
  say "stuck $(flat "$owner $releases/$aside")"
}
drop() {
  guard
  trash=.trash_$2_$$
  err=$(mv "$1" "$trash" 2>&1) || fail "$err"
  if is_current "$2"; then
    mv "$trash" "$1"
    fail "$1 is current"
  fi
  wipe_aside "$trash"
}
`

/**
 * Removes complete releases. `$1` path, `$2` command for what this login may not remove, or nothing, then refs. What the journal is to tell is written
 * down before: if this is cut, whoever takes the lock next tells of what is gone.
 */
export const remove = script(`${prelude}${guarded}${tools}${isCurrent}${discardFolder}${enter}
remover=$2
shift 2
for ref; do
  is_current "$ref" && fail "deployer_$ref is current"
  for armed in "$base"/config/armed.*; do
    [ -e "$armed" ] || continue
    read -r over back rest < "$armed"
    [ "$back" = "$ref" ] && fail "the host may go back to deployer_$ref by itself"
  done
done
if [ -n "$entries" ]; then
  err=$({ say "$entries" > "$base/config/.removing.$$" && mv -f "$base/config/.removing.$$" "$base/config/removing"; } 2>&1) || fail "$err"
fi
for ref; do
  if [ -e "deployer_$ref" ] || [ -L "deployer_$ref" ]; then drop "deployer_$ref" "$ref"; fi
done
for trash in .trash_*; do
  if [ -e "$trash" ] && is_trash "$trash"; then wipe_aside "$trash"; fi
done
note
rm -f "$base/config/removing"
entries=
conclude
`)

/** Removes what an unfinished deployment left. `$1` path, `$2` ref, `$3` upload, release or damaged, `$4` as `$2` of `remove`. */
export const discard = script(`${prelude}${guarded}${tools}${isCurrent}${discardFolder}${enter}
remover=$4
if [ "$3" = upload ]; then
  if [ -e ".staging_$2" ]; then
    err=$(mv ".staging_$2" ".trash_$2_$$" 2>&1) || fail "$err"
    wipe_aside ".trash_$2_$$"
  fi
elif [ -d "deployer_$2" ]; then
  [ "$3" = release ] && [ -e "deployer_$2/.deployer_release.json" ] && fail "deployer_$2 is complete by now"
  [ -e ".adopting_$2" ] && fail "deployer_$2 is being adopted"
  is_ours "deployer_$2" || fail "deployer did not make deployer_$2"
  is_current "$2" && fail "deployer_$2 is current"
  drop "deployer_$2" "$2"
fi
finish
`)

/**
 * Compares releases with their manifests. `$1` path, `$2` files, or paths: nothing is hashed, `$3` the SHA-256 that the manifest has to have, or
 * nothing, then refs.
 */
export const verify = script(`${prelude}${ownTools}${tools}${sums}${altering}${enter}
depth=$2 wanted=$3
shift 3
for ref; do
  say "verdict $ref"
  folder=deployer_$ref
  real_dir "$folder" || { say "fault $ref missing $folder"; continue; }
  real_file "$folder/.deployer_release.json" || say "fault $ref missing .deployer_release.json"
  real_file "$folder/.deployer_manifest" && [ -r "$folder/.deployer_manifest" ] ||
    { say "fault $ref missing .deployer_manifest"; continue; }
  [ -z "$wanted" ] || [ "$(sum "$folder/.deployer_manifest")" = "$wanted" ] || { say "fault $ref changed .deployer_manifest"; continue; }
  check "$folder" "$PWD/$folder/.deployer_manifest" "$depth" | only_unknown "$folder" | sed "s/^/fault $ref /"
done
finish
`)

/** Disk usage. `$1` path, then refs. */
export const usage = script(`${prelude}${ownTools}${enter}
shift
for ref; do
  [ -d "deployer_$ref" ] || continue
  used=$(du -sk "deployer_$ref" 2>/dev/null)
  used=\${used%%[!0-9]*}
  say "usage $ref \${used:-0}"
done
finish
`)

/** Writes into the journal what needs no deed. `$1` path. */
export const note = script(`${prelude}${guarded}
conclude
`)

/**
 * Runs a command. `$1` path, `$2` name, `$3` ref or nothing for the current release, `$4` the command. Answers first, then becomes the
 * command: what follows the answer is its output, and the exit status is its own.
 */
export const run = script(`
mask=$(umask)
locale=\${LC_ALL-}
${prelude}${tools}${inRelease}${enter}
if [ -n "$3" ]; then folder=deployer_$3
elif [ -L current ]; then
  folder=$(link_of current)
  is_ref "\${folder#deployer_}" || folder=current
elif [ -e current ]; then fail "$releases/current is not a link: move it away and deploy first"
else fail "no release is current there: deploy first"
fi
[ -d "$folder" ] || fail "there is no $releases/$folder: deploy it first"
enter_release "$folder" "$2"
say "${replyEnd}"
exec sh -c "$4" </dev/null
`)

/**
 * Takes the lock, tells what is on the host, and keeps it for as long as standard input stays open: each line of it is a sign of life, its end (also that
 * of the connection) gives the lock back. `$1` path, `$2` details, `$3` seconds after which a lock without a sign of life is taken
 * over, `$4` `taken`, or `held`: kept on purpose, and for good, `$5` entries for the journal where it is held or taken over. Sweeps what
 * dead commands left.
 */
export const lock = script(`${prelude}${locking}${giving}${journal}${tools}${seeing}
entries=$5 before=free
[ -d "$base/config" ] || { say "unready"; finish; }
# Whoever asked may be gone before the answer: then the lock is given back, so nothing may end this before that.
trap "" HUP PIPE
tries=0
while :; do
  top
  [ "$state" = free ] || idle
  if [ "$state" = held ] || { [ "$state" = taken ] && [ "$since" -lt "$3" ]; }; then
    # The clock was set back, and its holder may be dead: from now on it has to give signs of life by this clock.
    if [ "$ahead" = yes ]; then live "$token" 2>/dev/null; fi
    say "locked $token $since $details"
    finish
  fi
  mine=$((token + 1)) before=$state
  new=$base/config/.lock.$$
  if ! err=$({ live "$mine" && printf "%s %s\\n" "$4" "$2" > "$new"; } 2>&1); then
    rm -f "$new"
    # Whoever takes the lock sweeps the files of all others.
    tries=$((tries + 30))
    [ "$tries" -lt 100 ] || fail "$err"
    continue
  fi
  if err=$(ln "$new" "$base/config/lock.$mine" 2>&1); then
    rm -f "$new"
    top
    [ "$token" -eq "$mine" ] && break
    rm -f "$base/config/lock.$mine"
  else
    rm -f "$new"
    # Not every file system has hard links: there the file is made by whoever is first, and filled a moment later.
    if [ ! -e "$base/config/lock.$mine" ]; then
      (set -C; printf "%s %s\\n" "$4" "$2" > "$base/config/lock.$mine") 2>/dev/null && break
      [ -e "$base/config/lock.$mine" ] || fail "$err"
    fi
  fi
  tries=$((tries + 1))
  [ "$tries" -lt 100 ] || fail "others took it a hundred times meanwhile"
done
for old in "$base"/config/lock.* "$base"/config/beat.*; do
  n=\${old##*.}
  number "$n" && [ "$n" -lt "$mine" ] && rm -f "$old"
done
# What would be renamed or linked: so whoever had the lock before does not get through with it any more.
rm -f "$base"/config/.lock.* "$base"/config/.beat.* "$base"/config/.removing.* "$base"/config/.armed.* "$releases"/deployer_*/.deployer_release.json.* "$releases"/deployer_*/.deployer_altered.*
for link in "$releases"/.current.*; do
  if [ -L "$link" ] && number "\${link##*.}"; then rm -f "$link"; fi
done
for old in "$releases"/.replaced_*; do
  name=\${old##*.replaced_}
  ref=\${name%%_*}
  is_ref "$ref" && real_dir "$old" || continue
  if [ -e "$releases/deployer_$ref" ]; then mv "$old" "$releases/.trash_$name"; else mv "$old" "$releases/deployer_$ref"; fi 2>/dev/null
done
for trash in "$releases"/.trash_* "$releases"/.adopting.*; do
  if [ -e "$trash" ] && { is_trash "$trash" || number "\${trash##*.adopting.}"; }; then
    wipe "$trash" 2>/dev/null || case "$trash" in */.trash_*) mv "$trash" "$releases/.stuck_\${trash##*/.trash_}" 2>/dev/null ;; esac
  fi
done
[ "$4 $before" = "taken free" ] || note
# A removal that was cut: what is gone is told of, what is left stays.
if [ -s "$base/config/removing" ]; then
  entries=
  while IFS= read -r line; do
    ref=\${line#*",\\"ref\\":\\""}
    ref=\${ref%%"\\""*}
    if is_ref "$ref" && [ ! -e "$releases/deployer_$ref" ]; then entries=$entries\${entries:+$nl}$line; fi
  done < "$base/config/removing"
  note
  rm -f "$base/config/removing"
fi
say "token $mine"
[ "$4" = held ] && finish
(see)
say "${replyEnd}"
while IFS= read -r line; do
  top
  [ "$token" -eq "$mine" ] && [ "$state" = taken ] || { say "lost"; exit 0; }
  live "$mine"
done
give_back "$mine"
`)

/**
 * Looks at the directory in the place of `current` and writes its manifest: `$1` path, `$2` the release's name. The manifest waits in
 * `.adopting_<REF>/`; `adopt` goes on there. The ref is the beginning of the manifest's SHA-256. Sockets and the like are not listed.
 */
export const survey = script(`${prelude}${guarded}${tools}${sums}${enter}
[ ! -L current ] && [ -e current ] || fail "there is no directory in the place of current"
if [ ! -d current ]; then
  say "unfit current-occupied $releases/current"
  finish
fi
# It becomes part of a program for sed.
case "$2" in "" | [.-]* | *[!A-Za-z0-9._-]*) fail "that is no name of a release" ;; esac
new=$releases/.adopting.$$
err=$(rm -rf "$new" 2>&1 && mkdir "$new" 2>&1) || fail "$err"
abort() { wipe "$new"; fail "$1"; }
layout=whole
[ "$(ls -A current)" = "$2" ] && real_dir "current/$2" && layout=nested
cd current || abort "$releases/current cannot be entered"
odd=$(find . -name "*$nl*" 2>/dev/null | tr "\\n" " ")
[ -z "$odd" ] || abort "a path in current has a line break, which a manifest cannot hold: rename it (\${odd% })"
bs=$(printf "\\134") cr=$(printf "\\r")
listed() { find . "$@" > "$new/list" 2> "$new/err" && sort "$new/list" > "$new/sorted" || abort "$(cat "$new/err")"; }
listed -type d
if [ "$layout" = nested ]; then sed -n "s/^[.]./dir &/p" "$new/sorted"; else sed "s/^/dir /" "$new/sorted"; fi > "$new/manifest"
listed -type l
while IFS= read -r path; do
  to=$(link_of "$path")
  case "$to" in *"$nl"*) abort "the link $path in current has a line break in its text, which a manifest cannot hold" ;; esac
  printf "link %s\\nto %s\\n" "$path" "$to"
done < "$new/sorted" >> "$new/manifest"
listed -type f
files=$(wc -l < "$new/sorted")
# The tools write names with backslashes and carriage returns in ways of their own.
case "$summer" in
  sha256sum) find . -type f ! -path "*$bs$bs*" ! -path "*$cr*" -exec sha256sum {} + ;;
  shasum) find . -type f ! -path "*$bs$bs*" ! -path "*$cr*" -exec shasum -a 256 {} + ;;
esac > "$new/sums" 2> "$new/err" || abort "$(cat "$new/err")"
while IFS= read -r path; do
  case "$summer $path" in openssl* | *"$bs"* | *"$cr"*) printf "%s  %s\\n" "$(sum "$path")" "$path" ;; esac
done < "$new/sorted" >> "$new/sums"
file_lines "$new/sums" | sort -k 2 > "$new/list"
[ "$(wc -l < "$new/list")" -eq "$files" ] || abort "the files in current change while they are read, or cannot be read: try again"
cat "$new/list" >> "$new/manifest"
bytes=$(find . -type f -exec wc -c {} + | {
  total=0
  while read -r size path; do
    case "$path" in ./*) total=$((total + size)) ;; esac
  done
  printf "%s" "$total"
})
cd ..
if [ "$layout" = whole ]; then
  sed -e "s|^dir [.]|dir ./$2|" -e "s|^link [.]|link ./$2|" -e "s|^\\([0-9a-f]\\{64\\}  \\)[.]|\\1./$2|" "$new/manifest" > "$new/list" &&
    mv "$new/list" "$new/manifest"
fi
lines=$(wc -l < "$new/manifest")
say "end $((lines))" >> "$new/manifest"
digest=$(sum "$new/manifest")
ref=$(printf "%.32s" "$digest" | tr "a-f" "A-F")
is_ref "$ref" || abort "the manifest of current could not be hashed"
guard
err=$(rm -f "$new/list" "$new/sorted" "$new/sums" "$new/err" 2>&1 && wipe ".adopting_$ref" 2>&1 && mv "$new" ".adopting_$ref" 2>&1) ||
  abort "$err"
say "adoption $ref $digest $layout $((files)) $bytes"
finish
`)

/**
 * Makes a release of the directory in the place of `current`. `$1` path, `$2` the ref that `survey` found, `$3` the layout that it found, or
 * nothing: then only what was cut is finished, `$4` the release's name, `$5` its record. What is to be written is written beside it first,
 * and the link is made: then two renames are all, and whoever finds the content moved can finish it.
 */
export const adopt = script(`${prelude}${guarded}${tools}${syncing}${enter}
mark=.adopting_$2 folder=deployer_$2 link=.current.$$
real_dir "$mark" || fail "there is nothing of an adoption of $2: begin anew"
bare() { rmdir "$folder" 2>/dev/null; [ ! -e "$folder" ] && [ ! -L "$folder" ]; }
forget() { err=$(rm -f "$link" 2>&1 && wipe "$mark" 2>&1) || fail "$err"; }
flag=-T
if ! { : > "$mark/a" && mv -T "$mark/a" "$mark/b"; } 2>/dev/null; then flag=; fi
rm -f "$mark/a" "$mark/b"
make_link() { err=$(rm -f "$link" 2>&1 && ln -s "$folder" "$link" 2>&1) || fail "$err"; }
if [ -n "$3" ]; then
  real_dir current || fail "there is no directory in the place of current any more"
  [ -w current ] || fail "$releases/current cannot be written by this user"
  bare || fail "there is $folder already, a release of the same files: move current away and make that one current"
  err=$({ say "$5" | cat > "$mark/record" && say "$entries" | cat > "$mark/entries"; } 2>&1) || fail "$err"
  content=$folder
  if [ "$3" = whole ]; then
    err=$(mkdir "$folder" 2>&1) || fail "$err"
    content=$folder/$4
  fi
  make_link
  flush
  trap "" HUP INT TERM PIPE
  guard
  # One program for both is faster than two; a slash at the end is no link.
  if perl -e "rename shift, shift or exit 1; rename shift, shift or exit 1" current/ "$content" "$link" current 2>/dev/null; then :
  elif ! err=$(mv $flag current/ "$content" 2>&1 && mv $flag "$link" current 2>&1); then
    guard
    [ -e current ] || [ -L current ] || mv $flag "$content" current
    bare
    forget
    fail "$err"
  fi
elif [ -L current ]; then
  if bare; then forget; finish; fi
elif bare; then
  forget
  finish
elif [ -e current ]; then
  fail "both $releases/current and $releases/$folder hold something: look which of them is whole, and move the other away"
else
  make_link
  flush
  guard
  err=$(mv $flag "$link" current 2>&1) || fail "$err"
fi
entries=
[ "$(link_of current)" != "$folder" ] || [ ! -s "$mark/entries" ] || entries=$(cat "$mark/entries")
for name in manifest release.json; do
  from=$mark/$name
  [ "$name" = manifest ] || from=$mark/record
  guard
  [ ! -e "$from" ] || err=$(mv -f "$from" "$folder/.deployer_$name" 2>&1) || fail "$err"
done
note
flush
forget
finish
`)

/** Gives a lock back that may be somebody else's. `$1` path, `$2` its token, `$3` entries for the journal. */
export const unlock = script(`${prelude}${locking}${journal}
entries=$3
top
[ "$token" -eq "$2" ] && [ "$state" != free ] || { say "changed"; finish; }
err=$({ printf "free %s\\n" "$details" > "$base/config/.lock.$$" && mv -f "$base/config/.lock.$$" "$base/config/lock.$2"; } 2>&1) || fail "$err"
note
finish
`)
