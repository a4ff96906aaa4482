#!/usr/bin/env bash
# Installs the Debian packages that the suite needs and this machine lacks.
set -euo pipefail

missing=()
wanted=(
  docker.io docker-registry apache2-utils busybox-static debootstrap skopeo xz-utils zstd  # images
  zsh fish man-db git patch openssh-client chromium                                        # what reports and shells meet
  openssl postgresql                                                                       # registries and workers
  php-cli                                                                                  # archives of its own
)
for package in "${wanted[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "nothing is missing"
  exit 0
fi
echo "installing ${missing[*]}"
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
