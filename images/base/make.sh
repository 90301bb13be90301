#!/bin/sh
# Make the base root filesystem: a tar of the packages in packages.txt, of this machine's own
# release, from this machine's own apt sources. The same packages give the same bytes.
#
#   make.sh OUT.tar
set -eu

out=$1
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091
. /etc/os-release
: "${VERSION_CODENAME:?/etc/os-release names no release}"
export SOURCE_DATE_EPOCH=315532800 LC_ALL=C.UTF-8  # 1980-01-01, as everywhere in an image

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Where packages come from is asked of apt, and stays out of the image.
apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)' 'Created-By: Packages' \
    | awk -F'|' -v r="$VERSION_CODENAME" '
        ($1 == "Debian" || $1 == "Ubuntu") && ($2 == r || index($2, r "-") == 1) && !seen[$0]++ {
            print "deb " $3 " " $2 " " $4 }' >"$work/sources.list"
[ -s "$work/sources.list" ] || { echo "apt has no index of $VERSION_CODENAME: run 'apt-get update' first" >&2; exit 1; }

# One call for all names; only this release counts, whatever else apt knows.
names=$(sed -e 's/#.*//' "$here/packages.txt" | tr '|' '\n')
# shellcheck disable=SC2086
apt-cache madison $names | awk -F' *[|] *' -v r="$VERSION_CODENAME" '
    { sub(/^ +/, "", $1); n = split($3, at, " "); if (index(at[2], r) == 1) print $1 }' | sort -u >"$work/known"
include=""
for line in $(sed -e 's/#.*//' "$here/packages.txt"); do
    chosen=""
    for name in $(echo "$line" | tr '|' ' '); do
        if grep -qxF "$name" "$work/known"; then chosen=$name; break; fi
    done
    [ -n "$chosen" ] || { echo "$VERSION_CODENAME has none of: $line" >&2; exit 1; }
    include="$include${include:+,}$chosen"
done

mmdebstrap --quiet --variant=extract --include="$include" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    "$VERSION_CODENAME" "$work/base.tar" "$work/sources.list"
# Variant "extract" runs no hook late enough: the tar is laid out once more, without device nodes (the
# engine makes its own), without traces of apt and dpkg's configuration, in an order of names.
mkdir "$work/root"
tar -xpf "$work/base.tar" -C "$work/root" --no-same-owner --exclude='./dev/*'
rm -rf "$work/root/etc/apt" "$work/root/var/lib/apt" "$work/root/var/cache/apt" "$work/root/var/log" \
    "$work/root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
chmod -R u+rwX,go+rX "$work/root"
tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    -cf "$work/final.tar" -C "$work/root" .
mv "$work/final.tar" "$out"
