cd "$releases" 2>/dev/null || fail "there is no directory $releases: deploy first"
