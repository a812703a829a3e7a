# `draft_record ref json` writes a release's record to a file beside the final one. `keep_record` renames that file.

draft_record() {
  [ -d "deployer_$1" ] || fail "there is no deployer_$1"
  to=deployer_$1/.deployer_release.json
  [ ! -d "$to" ] || rm -rf "$to"
  err=$({ say "$2" | cat > "$to.$$"; } 2>&1) || { rm -f "$to.$$"; fail "$err"; }
}
keep_record() { err=$(mv -f "$to.$$" "$to" 2>&1) || { rm -f "$to.$$"; fail "$err"; }; }
