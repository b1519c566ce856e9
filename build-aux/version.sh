#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints the version, which <tslab/tslab.h> alone defines, as major.minor.patch without a newline.
sed -n 's/^#define TSLAB_VERSION_\(MAJOR\|MINOR\|PATCH\) \([0-9][0-9]*\)$/\2/p' \
	"$(dirname "$0")/../include/tslab/tslab.h" | paste -sd. | tr -d '\n'
