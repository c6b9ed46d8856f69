#!/bin/sh
# Links a notebook to this repository.  Each notebook's first cell runs it:  !*sh "$GONB_DIR/gonb.sh"
# (from a folder below notebooks/:  !*sh "$GONB_DIR/../gonb.sh").
#
# The notebook's scratch module takes over the repository's go.mod and go.sum, so that cells build with the same versions
# and no network, and replaces the repository by its folder, so that they see an edited package at once.  The scratch
# module is called <repository>/gonb and may therefore import internal packages.
set -eu

gomod=$(cd "$GONB_DIR" && go env GOMOD)
if [ ! -f "$gomod" ]; then
	echo "gonb.sh: there is no go.mod in $GONB_DIR or above it" >&2
	exit 1
fi
root=$(dirname "$gomod")
module=$(awk '$1 == "module" { print $2; exit }' "$gomod")

cd "$GONB_TMP_DIR"
sed "s|^module .*|module $module/gonb|" "$gomod" >go.mod
cp "$root/go.sum" go.sum
go mod edit -require="$module@v0.0.0" -replace="$module=$root"
echo "using $module at $(git -C "$root" describe --always --dirty 2>/dev/null || echo unversioned)"
