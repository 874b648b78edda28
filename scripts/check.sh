#!/bin/sh
# Every check, each even if an earlier one failed; what a failed one had to say stands below its name.
set -u
bin=.venv/bin
said=$(mktemp)
trap 'rm -f "$said"' EXIT
failed=

check() { # name, command …
    name=$1
    shift
    if "$@" >"$said" 2>&1; then
        echo "  ok      $name"
    else
        echo "  FAILED  $name: $*"
        cat "$said"
        failed="$failed, $name"
    fi
}

check lint $bin/ruff check
check format $bin/ruff format --check
check types $bin/mypy
check imports $bin/lint-imports
check pages $bin/python scripts/generate_docs.py --check
check "blocking client" $bin/python scripts/generate_sync_client.py --check

if [ -n "$failed" ]; then
    echo "Failed: ${failed#, }"
    exit 1
fi
