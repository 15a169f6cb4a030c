#!/bin/sh
# Build a tarball that runs from any directory of any user: the program, the agent, the checker, manual pages, and the
# libraries that they link, but libc. Usage: tools/dist-binary.sh DIRECTORY
set -eu
cd "$(dirname "$0")/.."

tools/setup.sh
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
name=umemcg-$version-$(uname -m)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The program is in bin, the checker in lib/umemcg; the libraries are there, too.
tools/configure.sh build-dist -Dprefix=/ -Dlibdir=lib -Dtests=false -Dbuildtype=release \
	"-Dc_link_args=-Wl,-rpath,\$ORIGIN/../lib/umemcg:\$ORIGIN"
ninja -C build-dist >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
DESTDIR=$work/$name meson install -C build-dist --no-rebuild --strip >"$work/log"
dir=$work/$name

# All that they link, and what that links, is libc's or comes along with its licence.
mkdir -p "$dir/share/doc/umemcg"
ldd "$dir/bin/umemcg" "$dir/lib/umemcg/umemcg-check" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u |
	grep -v -E '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' | while read -r library; do
	cp -L "$library" "$dir/lib/umemcg/"
	package=$(dpkg-query -S "$(realpath "$library")" 2>/dev/null | sed 's/:.*//; q')
	[ -z "$package" ] || cp "/usr/share/doc/$package/copyright" "$dir/share/doc/umemcg/$package.copyright"
done
cp LICENSE README.md docs/limits.md "$dir/share/doc/umemcg/"
tar -C "$work" -czf "$out/$name.tar.gz" --owner=0 --group=0 "$name"
ls -l "$out/$name.tar.gz"
