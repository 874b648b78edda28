#!/bin/sh
# Every check, each even if an earlier one failed; what a failed one had to say stands below its name. A check that ends
# with 75 could not be made: that is said, and is no failure.
set -u
bin=.venv/bin
said=$(mktemp)
trap 'rm -f "$said"' EXIT
failed=

check() { # name, command …
    name=$1
    shift
    "$@" >"$said" 2>&1
    case $? in
    0) echo "  ok      $name" ;;
    75) echo "  UNKNOWN $name: $(tail -n 1 "$said")" ;;
    *)
        echo "  FAILED  $name: $*"
        cat "$said"
        failed="$failed, $name"
        ;;
    esac
}

check lint $bin/ruff check
check format $bin/ruff format --check
check types $bin/mypy
check imports $bin/lint-imports
check pages $bin/python scripts/generate_docs.py --check
check "blocking client" $bin/python scripts/generate_sync_client.py --check
check licences $bin/python scripts/check_licences.py
check advisories $bin/python scripts/check_advisories.py

if [ -n "$failed" ]; then
    echo "Failed: ${failed#, }"
    exit 1
fi
