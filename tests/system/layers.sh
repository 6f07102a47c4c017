#!/usr/bin/env bash
# Who may include whom is kept, and every header compiles alone.
exec "$(dirname "$0")/../layers"
