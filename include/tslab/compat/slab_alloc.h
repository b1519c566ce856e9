/* SPDX-License-Identifier: MIT */
#include <tslab/compat.h>
