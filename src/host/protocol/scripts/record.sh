# Writes `record`, one line of JSON, as the record of the release `ref`.

. ./lib/protocol.sh
. ./lib/guarded.sh
. ./lib/record.sh
. ./lib/releases.sh
ref=$2 record=$3
draft_record "$ref" "$record"
keep_record
finish
