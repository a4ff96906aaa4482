#!/bin/sh
# stands for the tool that would fetch packages from $PIPENV_PYPI_MIRROR
mkdir -p /app/packages
echo "leakdemo 1.0" > /app/packages/installed
