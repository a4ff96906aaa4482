#!/bin/sh
# Puts a virtual environment, the Python it runs on and the libraries they need into a file system of their own.
# usage: assemble.sh VENV ROOT
set -eu
venv=$1
root=$2

mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/work" "$root/tmp"
chmod 1777 "$root/tmp"
ln -s usr/bin "$root/bin"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"

python=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
cp "/usr/bin/$python" "$root/usr/bin/"
ln -s "$python" "$root/usr/bin/python3"
cp -R "/usr/lib/$python" "$root/usr/lib/"
(cd "$root/usr/lib/$python" && rm -rf ensurepip idlelib lib2to3 pydoc_data tkinter turtledemo test config-*)
cp -R --parents "$venv" "$root"
find "$root" -name __pycache__ -prune -exec rm -rf {} +
# what only type checkers and compilers read
find "$root$venv" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \) -exec rm {} +

# what the loader would look for, links resolved
{ find "$root" -name '*.so*' -type f; echo "$root/usr/bin/$python"; } | while read -r file; do ldd "$file"; done \
  | awk '$2 == "=>" && $3 ~ "^/" { print $3 } $1 ~ "^/" { print $1 }' | sort -u | while read -r library; do
    case $library in "$root"/*) ;; *)
      mkdir -p "$root$(dirname "$library")"
      cp -L "$library" "$root$library"
    esac
  done

if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
# the licences of what was copied, where the base has them
for package in "$python" "lib$python-stdlib" libc6 libssl3 zlib1g libexpat1 libffi8 libstdc++6; do
  if [ -f "/usr/share/doc/$package/copyright" ]; then cp --parents "/usr/share/doc/$package/copyright" "$root"; fi
done
printf '%s\n' root:x:0:0:root:/:/sbin/nologin leakscan:x:65532:65532::/tmp:/sbin/nologin > "$root/etc/passwd"
printf '%s\n' root:x:0: leakscan:x:65532: > "$root/etc/group"
for folder in cache state; do
  mkdir -p "$root/opt/$folder"
  chown 65532:65532 "$root/opt/$folder"
done
