#!/bin/sh
# Make sure that the packages of a list are there. Does nothing, quickly, when they are.
# Usage: tools/setup.sh [LIST]   default: tools/packages.txt
set -eu
cd "$(dirname "$0")/.."

list=${1:-tools/packages.txt}
packages=$(grep -v '^#' "$list")
if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; what is needed is listed in $list" >&2
	exit 0
fi

missing=
for package in $packages; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "setup: packages are missing. As root, run:" >&2
	echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
