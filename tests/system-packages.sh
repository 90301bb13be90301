#!/bin/sh
# See that the system tools which some tests need are there; says nothing where all are.
#
# On Debian and Ubuntu what is missing is installed, elsewhere it is named. Called by `make test`.
set -eu

missing=""
need() {  # command, Debian package
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"
}

need strace strace          # kills and I/O errors at a chosen system call
need openssl openssl        # keys and certificates
need mkfs.ext4 e2fsprogs    # file systems that fill up
need mkfs.btrfs btrfs-progs  # a file system whose files can share blocks
need mount mount
need unshare util-linux
need podman podman            # the second engine that replays
for browser in chromium chromium-browser google-chrome ""; do  # any one of them will do
    [ -n "$browser" ] || need chromium "chromium fonts-dejavu-core"
    command -v "$browser" >/dev/null 2>&1 && break
done
need ip iproute2            # network namespaces, a worker each
need docker-registry docker-registry  # a real registry, on loopback
need htpasswd apache2-utils           # its password

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "tests: not installed here, and some tests need it:$missing" >&2
    exit 0
fi
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "tests: run this as root: $*" >&2; return 1
    fi
}
echo "tests: installing with apt:$missing"
as_root apt-get update -qq
# No package may start its service: the tests start their own, on loopback.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    trap 'as_root rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
