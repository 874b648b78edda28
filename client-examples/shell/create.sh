#!/bin/sh
# Rent a GPU with nothing but curl and jq, wait until the application on it answers, and say where.
#
#     export NOVITAI_URL=http://127.0.0.1:3000 NOVITAI_API_KEY=nvk_…
#     ./create.sh my-model "RTX 4090 24GB" nginx:1.27 80
#
# The machine keeps running, and costs money, until:
#     curl -X DELETE -H "Authorization: Bearer $NOVITAI_API_KEY" "$NOVITAI_URL/api/instances/my-model"
set -eu
name=${1:?usage: create.sh NAME [PRODUCT] [IMAGE] [PORT]}
product=${2:-RTX 4090 24GB}
image=${3:-nginx:1.27}
port=${4:-80}
: "${NOVITAI_API_KEY:?set NOVITAI_API_KEY}"
url=${NOVITAI_URL:-http://127.0.0.1:3000}/api/instances

ask() { # curl arguments …: the answer's body; what the server refuses is said and ends the script
    # The key is handed over on standard input: arguments can be read by everybody on the machine.
    answer=$(printf 'header = "Authorization: Bearer %s"\n' "$NOVITAI_API_KEY" |
        curl --silent --show-error --config - --max-time 90 "$@") || exit
    printf '%s' "$answer" | jq -er '.error.message // empty' >&2 && exit 1
    printf '%s' "$answer"
}

body=$(jq -n --arg name "$name" --arg product "$product" --arg image "$image" --argjson port "$port" \
    '{name: $name, productName: $product, imageUrl: $image, ports: [{port: $port, type: "http"}]}')
# With the same Idempotency-Key this can be sent again after a lost answer; nothing is created twice.
created=$(ask -H "Content-Type: application/json" -H "Idempotency-Key: create-$(date +%s)-$$" -d "$body" "$url")
id=$(printf '%s' "$created" | jq -r .instanceId)
printf '%s' "$created" | jq -r '"\(.productName) in \(.region) at $\(.pricePerHour) an hour"'

while :; do
    instance=$(ask "$url/$id?wait=ready&timeout=60")
    status=$(printf '%s' "$instance" | jq -r .status)
    echo "  $status"
    case $status in
    ready) break ;;
    failed | lost | stopped | deleting | deleted)
        printf '%s' "$instance" | jq -r '.lastError.message // "it ended"' >&2
        exit 1
        ;;
    esac
    sleep 1
done
printf '%s' "$instance" | jq -r '.portMappings[] | "port \(.port) answers at \(.endpoint)"'
