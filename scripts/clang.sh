#!/usr/bin/env bash
# clang.sh format | format-check | tidy: the Clang tools over native/. `tidy` needs a build.
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
    # Headers are checked through the files that include them; fuzzers are in no ordinary build.
    find native/core native/addon -name '*.cc' -print0 |
      xargs -0 -r -n 1 -P "$(nproc)" clang-tidy -p build --quiet \
      2> >(grep -v ' generated\.$' >&2)
    ;;
  *)
    echo "usage: $0 format | format-check | tidy" >&2
    exit 2
    ;;
esac
