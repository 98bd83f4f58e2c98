# Shared by ./run and ./check: the packages of packages.txt and the build. Sourced, not run.

# install_packages FILE: installs what is missing of the packages it lists; without root it prints the line to run and stops.
install_packages() {
  local wanted missing=()
  mapfile -t wanted < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1")
  mapfile -t missing < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort -u |
    comm -13 - <(printf '%s\n' "${wanted[@]}" | sort -u))
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    echo "These Debian packages are missing; please run:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
    exit 1
  fi
  echo "Installing Debian packages: ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET TARGET: configures and builds build/PRESET quietly; shows the log where it fails.
build() {
  local preset=$1 target=$2 log
  mkdir -p build
  log=build/$preset.log
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1  # a second checkout elsewhere finds what the first compiled
  if [ ! -f "build/$preset/build.ninja" ]; then
    echo "Configuring build/$preset" >&2
    cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  fi
  echo "Building build/$preset ($target)" >&2
  if [ -t 2 ]; then
    cmake --build "build/$preset" --target "$target" || exit 1
  else
    cmake --build "build/$preset" --target "$target" >"$log" 2>&1 || { tail -50 "$log" >&2; exit 1; }
  fi
}
