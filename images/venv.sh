#!/bin/sh
# Debian and Ubuntu split `python3 -m venv` from python3: install the missing half.
#
#   venv.sh PYTHON
set -eu
python=$1
command -v apt-get >/dev/null 2>&1 || {
    echo "$python has no ensurepip: install the venv package of your system's Python, and run make again" >&2
    exit 1
}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
echo "this will install, with apt: python$version-venv"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "python$version-venv" >/dev/null
