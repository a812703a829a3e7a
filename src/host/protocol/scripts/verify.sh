# Compares releases with their manifests. `depth` is `files`, or `paths` for a check without hashes. `wanted` is the
# SHA-256 that the manifest must have, or empty. The refs are the last arguments.

. ./lib/protocol.sh
. ./lib/environment.sh
. ./lib/files.sh
. ./lib/check.sh
. ./lib/alterations.sh
. ./lib/releases.sh
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
