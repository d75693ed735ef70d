# shellcheck shell=bash
# Sourced by installer/quickstart and tests/run, in the top folder of the checkout.

# say TEXT...: one line for the person at the terminal.
say() { printf '%s\n' "$*" >&2; }

# install_missing PACKAGE...: installs the Debian packages that are not there yet; only root can. No service is started.
install_missing() {
    local missing=() package policy=/usr/sbin/policy-rc.d ours=
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        say "These Debian packages are missing, and only root can install them: ${missing[*]}"
        return 1
    fi
    say "Installing Debian packages: ${missing[*]}"
    if [ ! -e "$policy" ]; then
        ours=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    apt_get update && apt_get install --no-install-recommends "${missing[@]}"
    local result=$?
    [ -n "$ours" ] && rm -f "$ours"
    return $result
}

# apt_get ARGUMENT...: apt-get without questions, silent unless it fails.
apt_get() {
    local said
    said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" 2>&1) || { say "$said"; return 1; }
}

# make_venv FOLDER: makes a virtual environment with pip in it, also where Debian's python3-venv is missing and we are not root.
make_venv() {
    local venv=$1 python
    [ -x "$venv/bin/pip" ] && return
    python=$(command -v python3) || { say "python3 is not installed."; return 1; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "Python 3.11 or newer is needed; $python is older."; return 1; }
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && [ "$(id -u)" -eq 0 ]; then
        install_missing python3-venv || return
    fi
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
    else
        "$python" -m venv --without-pip "$venv" && add_pip "$venv"
    fi
}

# add_pip FOLDER: puts pip into a virtual environment from Debian's package python3-pip-whl, fetched without root.
add_pip() {
    local venv=$1 scratch wheel
    scratch=$(mktemp -d) || return
    wheel=$(find_pip_wheel "$scratch") && PYTHONPATH=$wheel "$venv/bin/python" -m pip install -q --no-index --no-deps "$wheel"
    local result=$?
    rm -rf "$scratch"
    [ $result -eq 0 ] || say "pip could not be set up; as root, 'apt-get install python3-venv' helps."
    return $result
}

# find_pip_wheel SCRATCH: prints the path of pip's wheel, the machine's own or one unpacked below SCRATCH.
find_pip_wheel() {
    local scratch=$1 wheels=/usr/share/python-wheels
    if ! compgen -G "$wheels/pip-*.whl" >/dev/null; then
        say "Fetching Debian's package python3-pip-whl"
        mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
        local own=(-qq -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o Debug::NoLocking=1)
        apt-get "${own[@]}" update >&2 || return
        (cd "$scratch" && apt-get "${own[@]}" download python3-pip-whl && dpkg-deb -x python3-pip-whl_*.deb system) >&2 || return
        wheels=$scratch/system$wheels
    fi
    compgen -G "$wheels/pip-*.whl" | tail -n 1
}

# install_project VENV EXTRAS: installs this checkout (editable) with its extras ('' or '[test]') when pyproject.toml changed,
# or when the checkout was moved: its old place would be run otherwise.
install_project() {
    local venv=$1 extras=$2 now stamp
    now="$PWD $(sha256sum <pyproject.toml)"
    # What the tests need includes what the product needs.
    for stamp in "$venv/installed$extras" "$venv/installed[test]"; do
        [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && return
    done
    say "Installing the Python packages into $venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --editable ".$extras" >&2 || return
    printf '%s\n' "$now" >"$venv/installed$extras"
}

# set_up_venv VENV EXTRAS: make_venv and install_project, one caller at a time (the lock is pyproject.toml itself).
set_up_venv() {
    {
        flock 9 && make_venv "$1" 9<&- && install_project "$1" "$2" 9<&-
    } 9<pyproject.toml
}
