#!/bin/sh
exec cat /app/packages/installed
