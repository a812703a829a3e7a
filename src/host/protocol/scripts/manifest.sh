# Prints the manifest of the release `ref`, and the paths that commands changed.

. ./lib/protocol.sh
. ./lib/files.sh
. ./lib/releases.sh
ref=$2
file=deployer_$ref/.deployer_manifest
real_file "$file" && [ -r "$file" ] || fail "there is no $file"
sed "s/^/line /" "$file"
altered=deployer_$ref/.deployer_altered
if real_file "$altered" && [ -r "$altered" ]; then sed -n "s/^[^ ]* \([.][/]\)/altered /p" "$altered"; fi
finish
