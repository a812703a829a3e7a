# Selects the entries that `decisive` and `lineage` of domain/Journal.ts select, from facts, the line `tail`, and lines of the
# journal. The form of an entry, the events and the longest line are those of domain/Journal.ts too: a test compares them.

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
  if (event == "repaired" && index(text, ",\"detail\":\"")) {
    known_lines = substr(text, index(text, ",\"detail\":\""))
    if (match(known_lines, /[0-9]+ lines? of the journal cannot be read/)) {
      torn -= substr(known_lines, RSTART) + 0
      if (torn < 0) torn = 0
    }
  }
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
  if (text !~ /^\{"event":"[A-Za-z]+","at":"[0-9][0-9][0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9][0-9][0-9])?Z","by":"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*"(,"job":"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*")?(,"release":\{"name":"[A-Za-z0-9_][A-Za-z0-9._-]*","ref":"[0-9A-F]+"\})?(,"from":"[0-9A-F]+")?(,"detail":"([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*")?(,"[a-z]+_[a-z_]+":("([^"\\\001-\037]|\\["\\\/bfnrt]|\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f])*"|-?[0-9][0-9.]*|true|false|null))*\}$/ || !index(events, " " event_of(text) " ")) return 0
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
  if (length(text) <= 65536 && is_entry(text)) entry(text)
  else torn++
}
function keep(texts, places, ref) { if (ref in texts) chosen[places[ref]] = texts[ref] }
BEGIN { events = " staged switched linked rolledBack unlinked healthy unhealthy failed adopted repaired pinned unpinned removed locked unlocked " }
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
