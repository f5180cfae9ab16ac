#!/usr/bin/env bash
# clang.sh format | format-check | tidy: the Clang tools over native/.
# A missing tool is an error under CI, else a note.
set -euo pipefail
cd "$(dirname "$0")/.."

require() {
  command -v "$1" >/dev/null && return
  echo "$1 is not installed: skipped" >&2
  if [[ ${CI:-} ]]; then exit 1; fi
  exit 0
}

case ${1:-} in
  format)
    require clang-format
    find native -path native/third_party -prune -o \( -name '*.cc' -o -name '*.h' \) -print | xargs -r clang-format -i
    ;;
  format-check)
    require clang-format
    find native -path native/third_party -prune -o \( -name '*.cc' -o -name '*.h' \) -print | xargs -r clang-format --dry-run --Werror
    ;;
  tidy)
    require clang-tidy
    # Eight files as one: most of the time goes into headers, which are read once then. Fuzzers and
    # tests are in no such build.
    node_modules/.bin/cmake-js configure --out build-tidy --log-level warn --CDCMAKE_UNITY_BUILD=ON
    grep -oP '"file": "\K[^"]*/native/(core|addon)/[^"]*' build-tidy/compile_commands.json |
      xargs -n 1 -P "$(nproc)" clang-tidy -p build-tidy --quiet \
        --checks=-bugprone-suspicious-include 2> >(grep -v ' generated\.$' >&2)
    ;;
  *)
    echo "usage: $0 format | format-check | tidy" >&2
    exit 2
    ;;
esac
