#!/bin/sh
# Creates what the service keeps secret, as files for Compose, systemd or a Kubernetes Secret:
#
#     deploy/secrets.sh [DIRECTORY] [HOST]
#
# DIRECTORY is deploy/secrets, and HOST the database server, postgres, unless they are given. A file that exists
# is kept, so the script can be run again. Back the directory up: without secret_key, the secrets of endpoints
# cannot be decrypted.
set -eu

directory=${1:-$(dirname "$0")/secrets}
host=${2:-postgres}

# Compose gives a container the file as it is here, so the files can be read by any user, such as the one in
# the container; the directory keeps the users of this host out.
umask 022
mkdir -p "$directory"
chmod 700 "$directory"

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }

keep() {
    if [ -e "$directory/$1" ]; then
        echo "kept    $directory/$1"
    else
        printf '%s' "$2" > "$directory/.new"
        mv "$directory/.new" "$directory/$1"
        echo "created $directory/$1"
    fi
}

keep database_password "$(random 24 | tr '+/' '-_')"
keep database_url "postgresql://angarium:$(cat "$directory/database_password")@$host:5432/angarium"
keep jwt_secret "$(random 48)"
keep secret_key "$(random 32)"
# Compose, which brings the database, can also bring Grafana
if [ "$host" = postgres ]; then
    keep grafana_password "$(random 24 | tr '+/' '-_')"
fi
