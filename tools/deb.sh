#!/bin/sh
# Build the Debian packages umemcg and umemcg-agent, from the files that git knows, and have lintian look at them.
# They come into DIRECTORY. Usage: tools/deb.sh DIRECTORY
set -eu
cd "$(dirname "$0")/.."

tools/setup.sh
tools/setup.sh tools/packages-deb.txt
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
grep -q "version: '$version'" meson.build || {
	echo "deb: debian/changelog has version $version, meson.build has another" >&2
	exit 1
}
mkdir "$work/umemcg-$version"
git ls-files -z | xargs -0 cp --parents -t "$work/umemcg-$version"
echo "deb: building in $work; about two minutes"
(cd "$work/umemcg-$version" && dpkg-buildpackage -b -us -uc) >"$out/build.log" 2>&1 || {
	tail -30 "$out/build.log" >&2
	echo "deb: the build failed; all of it is in $out/build.log" >&2
	exit 1
}
rm -f "$out"/*.deb
cp "$work"/*.deb "$out"
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$out"/*.deb
ls "$out"/*.deb
