#!/bin/sh
# Fetch the static emulator of x86-64 CPUs, from this machine's own apt mirror. Installs nothing.
#
#   qemu.sh FOLDER [PROGRAM]     puts `qemu-x86_64` (or that program) and `version` into FOLDER
#
# Only the program is taken out of the package. apt works in a folder of its own, so this needs no root, and the
# machine's own apt is left as it is. From version 10 on: 7.2 computes an LSTM wrong on its Haswell.
set -eu

folder=$1
wanted=${2:-qemu-x86_64}
die() { printf 'qemu: %s\n' "$*" >&2; exit 1; }
command -v apt-get >/dev/null 2>&1 || die "only Debian's and Ubuntu's packages can be taken here"
# shellcheck disable=SC1091
. /etc/os-release
: "${VERSION_CODENAME:?/etc/os-release names no release}"

# The release whose package is taken: the own one, unless its qemu is too old.
case "$VERSION_CODENAME" in bookworm) release=trixie ;; *) release=$VERSION_CODENAME ;; esac

# The mirror is asked of this machine's own apt sources, never written down.
found=$(apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)' 'Created-By: Packages' \
    | awk -F'|' -v r="$VERSION_CODENAME" \
        '($1 == "Debian" || $1 == "Ubuntu") && $2 == r && !seen[$4]++ { uri = $3; all = all " " $4 }
         END { print uri all }')
mirror=${found%% *}
[ -n "$mirror" ] || die "apt has no index of $VERSION_CODENAME: run 'apt-get update' first"
components=${found#"$mirror"}
for key in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/ubuntu-archive-keyring.gpg; do
    case "$key" in *"${ID:-debian}"*) if [ -r "$key" ]; then signed=$key; fi ;; esac
done
[ -n "${signed:-}" ] || die "the archive's keyring is not here: install ${ID:-debian}-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
printf 'deb [signed-by=%s] %s %s%s\n' "$signed" "$mirror" "$release" "$components" >"$work/sources.list"
cat >"$work/apt.conf" <<TEXT
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
APT::Default-Release "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
TEXT
export APT_CONFIG="$work/apt.conf" LC_ALL=C.UTF-8

apt-get update -qq >"$work/log" 2>&1 || { cat "$work/log" >&2; die "apt-get update failed"; }
# The static program is in qemu-user-static, or, where that one is only a name for it, in qemu-user.
for package in qemu-user-static qemu-user; do
    version=$(apt-cache madison "$package" | awk -F' *[|] *' 'NR == 1 { print $2 }')
    plain=${version#*:}
    [ -n "$version" ] && [ "${plain%%.*}" -ge 10 ] || continue
    (cd "$work" && apt-get download -qq "$package=$version" >"$work/log" 2>&1) \
        || { cat "$work/log" >&2; die "apt-get download $package failed"; }
    dpkg-deb -x "$work/$package"_*.deb "$work/$package"
    for program in "$work/$package/usr/bin/$wanted-static" "$work/$package/usr/bin/$wanted"; do
        [ -f "$program" ] && [ ! -L "$program" ] || continue
        mkdir -p "$folder"
        printf '%s\n' "$version" >"$folder/version.new"
        cp "$program" "$folder/$wanted.new"
        chmod 0755 "$folder/$wanted.new"
        mv "$folder/$wanted.new" "$folder/$wanted"
        mv "$folder/version.new" "$folder/version"
        exit 0
    done
done
die "$release has no static qemu of version 10 or newer; put one in place by hand: TIMEPROOF_QEMU=/path/to/$wanted"
