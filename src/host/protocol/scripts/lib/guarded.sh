. ./lib/environment.sh
. ./lib/fenced.sh
